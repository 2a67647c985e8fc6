/**
 * The processes of a folder, recorded so that after a kill -9 of the launcher the next start can end what it left.
 *
 * A process is named by pid and start time: a reused pid is not ours and is not touched. Child processes of a part are found
 * by the stack's id in their environment. Two running launchers never share a folder. A launcher that exits before it has
 * stopped its stack, except by kill -9, ends the stack: services without Kafka would wait for it for hours.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "@tributary/kernel";
import { identify, isAlive, type ProcessId } from "@tributary/kernel/processes";
import { endAll, killAll, marked } from "./proc.ts";

export const STACK_MARK = "TRIBUTARY_STACK";

type State = { stackId: string; launcher: ProcessId | undefined; parts: { [name: string]: ProcessId } };

export type Journal = {
  readonly stackId: string;
  /** Environment of everything the stack starts. */
  readonly env: NodeJS.ProcessEnv;
  started(name: string, pid: number): void;
  ended(name: string): void;
  /** Ends whatever still bears the stack's mark; returns how many there were. */
  sweep(graceMs: number): Promise<number>;
  close(): void;
};

/** Takes the folder, and first ends what an earlier, dead launcher left in it. */
export async function openJournal(dir: string): Promise<{ journal: Journal; reclaimed: number }> {
  mkdirSync(dir, { recursive: true, mode: 0o700 }); // passwords, keys and photos are below
  const file = join(dir, "state.json");
  const left = read(file);
  let reclaimed = 0;
  if (left !== undefined) {
    if (left.launcher !== undefined && left.launcher.pid !== process.pid && isAlive(left.launcher)) {
      throw new Failure(
        "stack-running",
        "ask-a-person",
        `a stack already runs here (process ${left.launcher.pid}, ${file}): stop it first, e.g. kill ${left.launcher.pid}`,
      );
    }
    reclaimed = await endAll([...Object.values(left.parts), ...marked(STACK_MARK, left.stackId)], 5_000);
    reclaimed += await endAll(marked(STACK_MARK, left.stackId), 0);
  }
  const state: State = { stackId: randomBytes(8).toString("hex"), launcher: identify(process.pid), parts: {} };
  const write = () => {
    writeFileSync(`${file}.new`, `${JSON.stringify(state, null, 2)}\n`);
    renameSync(`${file}.new`, file);
  };
  write();
  const killLeft = () => killAll([...Object.values(state.parts), ...marked(STACK_MARK, state.stackId)]);
  process.once("exit", killLeft);
  const journal: Journal = {
    stackId: state.stackId,
    env: { ...process.env, [STACK_MARK]: state.stackId },
    started(name, pid) {
      const id = identify(pid);
      if (id === undefined) return;
      state.parts[name] = id;
      write();
    },
    ended(name) {
      delete state.parts[name];
      write();
    },
    sweep: (graceMs) => endAll(marked(STACK_MARK, state.stackId), graceMs),
    close: () => {
      process.off("exit", killLeft);
      rmSync(file, { force: true });
    },
  };
  return { journal, reclaimed };
}

function read(file: string): State | undefined {
  try {
    const state = JSON.parse(readFileSync(file, "utf8")) as State;
    return typeof state.stackId === "string" && typeof state.parts === "object" ? state : undefined;
  } catch {
    return undefined;
  }
}
