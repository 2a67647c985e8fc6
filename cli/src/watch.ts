/**
 * `-w`: shows a result repeatedly until interrupted.
 *
 * W1. A terminal is overwritten; elsewhere a result is written only if it differs from the previous one.
 * W2. A failure at the first time ends the command; later ones are shown, and it continues.
 * W3. The command can end the watch.
 */
import { reasonOf } from "@tributary/kernel";
import { type Command, InvalidArgumentError } from "commander";
import { type Context, contextOf, type Io } from "./context.ts";

const EVERY_S = 2;
const CLEAR = "\u001b[H\u001b[2J\u001b[3J";

export const watchable = (command: Command): Command =>
  command
    .option("-w, --watch", "repeat until interrupted")
    .option("--every <SECONDS>", "how often, with --watch", seconds, EVERY_S);

export async function watched(
  command: Command,
  io: Io,
  /** May be a promise; true ends the watch. (W3) */
  show: (context: Context) => unknown,
): Promise<void> {
  const { watch, every = EVERY_S } = command.opts<{ watch?: boolean; every?: number }>();
  if (!watch) {
    await show(contextOf(command, io));
    return;
  }
  let before: string | undefined;
  while (!io.signal.aborted) {
    let text = "";
    let shown: unknown;
    try {
      shown = await show(contextOf(command, { ...io, stdout: (piece) => (text += piece) }));
    } catch (error) {
      if (before === undefined) throw error; // W2
      io.stderr(`tributary: ${reasonOf(error)}\n`);
      text = before;
    }
    if (io.isOutputTerminal) io.stdout(CLEAR + text);
    else if (text !== before) io.stdout(text); // W1
    if (shown === true) return; // W3
    before = text;
    await sleep(every * 1_000, io.signal);
  }
}

export const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((done) => {
    const finish = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      done();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener("abort", finish, { once: true });
  });

function seconds(text: string): number {
  const value = Number(text);
  if (!(value >= 0.2 && value <= 3_600)) throw new InvalidArgumentError("expected 0.2 to 3600 seconds.");
  return value;
}
