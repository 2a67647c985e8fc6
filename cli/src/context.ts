/** The context of every command: the gateway and the output, from the options that all commands share. */
import type { Command } from "commander";
import { type Gateway, gatewayAt } from "./gateway.ts";
import { type Format, Output } from "./output.ts";
import { waitingFor } from "./progress.ts";

export type Io = {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** Whether the output goes to a terminal that may have colours. */
  readonly color: boolean;
  /** Whether stdout is one, which -w may clear. */
  readonly isOutputTerminal: boolean;
  /** Whether stderr is a terminal, where a line can be written over. */
  readonly isTerminal: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
  /** Aborts when the user wants to stop. */
  readonly signal: AbortSignal;
};

/** Who wants what a command asks for, for the record. */
export const personOf = ({ env }: Io): string => (env.USER || env.LOGNAME || "tributary-cli").slice(0, 128);

export type Context = { readonly gateway: Gateway; readonly output: Output; readonly io: Io };

type SharedOptions = { gateway: string; token?: string; output: Format; color: boolean };

export function contextOf(command: Command, io: Io): Context {
  const options = command.optsWithGlobals<SharedOptions>();
  return {
    gateway: gatewayAt({ url: options.gateway, token: options.token, waiting: waitingFor(io) }),
    output: outputOf(command, io),
    io,
  };
}

/** Of commands that need no gateway. */
export function outputOf(command: Command, io: Io): Output {
  const options = command.optsWithGlobals<SharedOptions>();
  return new Output(options.output, options.color && io.color, io.stdout);
}
