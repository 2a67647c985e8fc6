/** The command line every process of ours has: `--config FILE`, `--check`, `--help`. */
import "./clean-exit.ts";
import { parseArgs } from "node:util";
import { reasonOf } from "@tributary/kernel";
import type { z } from "zod";
import { ConfigError, EXIT_CONFIG } from "./config-error.ts";
import { type Env, loadConfig } from "./load.ts";

export type InvocationOptions<S extends z.ZodType> = {
  /** The program's name, e.g. `tributary-router`. */
  readonly name: string;
  /** One sentence for `--help`. */
  readonly summary: string;
  readonly schema: S;
  /** Without node and script: `process.argv.slice(2)`. */
  readonly argv: readonly string[];
  readonly env?: Env;
  /** More checks of the loaded configuration, for `--check` and start alike; throws ConfigError. */
  readonly check?: (config: z.output<S>) => void;
};

export type Invocation<T> =
  | { readonly kind: "run"; readonly config: T; readonly file: string }
  | { readonly kind: "exit"; readonly code: 0 | typeof EXIT_CONFIG; readonly text: string };

export function invocationOf<S extends z.ZodType>(options: InvocationOptions<S>): Invocation<z.output<S>> {
  const refuse = (text: string) => ({ kind: "exit", code: EXIT_CONFIG, text }) as const;
  let values: { config?: string; check?: boolean; help?: boolean };
  try {
    ({ values } = parseArgs({
      args: [...options.argv],
      options: { config: { type: "string" }, check: { type: "boolean" }, help: { type: "boolean", short: "h" } },
    }));
  } catch (error) {
    return refuse(`${reasonOf(error)}\n\n${usage(options)}`);
  }
  if (values.help) return { kind: "exit", code: 0, text: usage(options) };
  const file = values.config;
  if (file === undefined) return refuse(`--config FILE is missing\n\n${usage(options)}`);
  try {
    const config = loadConfig({ schema: options.schema, file, ...(options.env && { env: options.env }) });
    options.check?.(config);
    if (values.check) return { kind: "exit", code: 0, text: `${file} is valid` };
    return { kind: "run", config, file };
  } catch (error) {
    if (error instanceof ConfigError) return refuse(error.message);
    throw error;
  }
}

/** As `invocationOf`, but prints and exits where there is nothing to run. */
export function configOrExit<S extends z.ZodType>(options: InvocationOptions<S>): z.output<S> {
  const invocation = invocationOf(options);
  if (invocation.kind === "run") return invocation.config;
  (invocation.code === 0 ? process.stdout : process.stderr).write(`${invocation.text}\n`);
  process.exit(invocation.code);
}

const usage = ({ name, summary }: { readonly name: string; readonly summary: string }): string =>
  `${summary}

Usage: ${name} --config FILE [--check]

  --config FILE  configuration, YAML; \${NAME} is taken from the environment
  --check        check the configuration and exit: 0 valid, 2 not, every wrong key named
  --help         this text`;
