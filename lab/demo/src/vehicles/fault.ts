/** Something that happens to a vehicle's computer or camera for some seconds. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import type { Expected } from "./account.ts";
import type { Car } from "./car.ts";

export type Fault = {
  readonly name: string;
  readonly seconds: number;
  readonly expects: Expected;
  /** The camera's rate meanwhile, where it is another. */
  readonly fps?: number;
  readonly needs?: "root" | "small-disk";
  /** Ends what it did, whatever happened. */
  begin(car: Car): Promise<() => Promise<void> | void>;
};

export const signalTo = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
};

/** Calls `act` now, and every so many seconds. Gives what ends that. */
export function every(seconds: number, act: (turn: number) => Promise<void> | void): () => void {
  let turn = 0;
  const next = () => void Promise.resolve(act(turn++)).catch(() => undefined); // A device that does not answer now may later.
  next();
  const timer = setInterval(next, 1_000 * seconds);
  return () => clearInterval(timer);
}

/** Programs that compute without an end, for `seconds` at most. `priority`: in Linux's real-time class; null: ordinary ones. */
export function busyLoops(count: number, priority: number | null, seconds: number): readonly ChildProcess[] {
  const loop = ["timeout", "--signal", "KILL", String(seconds), "sh", "-c", "while :; do :; done"];
  const [program = "", ...args] = priority === null ? loop : ["chrt", "--rr", String(priority), ...loop];
  return Array.from({ length: count }, () => spawn(program, args, { stdio: "ignore", detached: true }));
}

export async function ended(children: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    children.map(
      (child) =>
        new Promise<void>((resolve) => {
          if (child.exitCode !== null || child.signalCode !== null) return resolve();
          child.once("exit", () => resolve());
          child.kill("SIGKILL");
          if (child.pid !== undefined) signalTo(-child.pid, "SIGKILL"); // And what it has started, where it leads a group.
        }),
    ),
  );
}

/** This program waits for no loop of the agent's priority. Gives what ends that. */
export function ahead(): () => void {
  const chrt = (...args: string[]) => spawnSync("chrt", [...args, String(process.pid)], { stdio: "ignore" });
  chrt("--rr", "--pid", "40");
  return () => void chrt("--other", "--pid", "0");
}
