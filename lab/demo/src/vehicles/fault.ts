/** Something that happens to a vehicle's computer or camera for some seconds. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Expected } from "./account.ts";
import type { Car } from "./car.ts";
import { priorityOf } from "./priority.ts";

export type Fault = {
  readonly name: string;
  readonly seconds: number;
  readonly expects: Expected;
  /** The camera's rate meanwhile, where it is another. */
  readonly fps?: number;
  readonly needs?: "memory-group" | "realtime" | "small-disk";
  begin(car: Car): Promise<Ongoing>;
};

export type Ongoing = {
  /** Asked before its end: it did happen, for all that this machine shows. */
  readonly happened: () => Promise<boolean> | boolean;
  /** Ends what it did, whatever happened. */
  readonly end: () => Promise<void> | void;
};

/** False: it has ended. */
export const signalTo = (pid: number, signal: NodeJS.Signals | 0): boolean => {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
};

/** A stopped process, as the kernel states it. */
export const isStopped = (pid: number): boolean => {
  try {
    return /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
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

/** Programs that compute without an end, for `seconds` at most. `priority`: in Linux's real-time class, of a fault that needs it; null: ordinary ones. They are
 * of the agent's session, in which its niceness counts (priority.ts). */
export function busyLoops(count: number, priority: number | null, seconds: number): readonly ChildProcess[] {
  const loop = ["timeout", "--signal", "KILL", String(seconds), "sh", "-c", "while :; do :; done"];
  const [program = "", ...args] = priority === null ? loop : ["chrt", "--rr", String(priority), ...loop];
  return Array.from({ length: count }, () => spawn(program, args, { stdio: "ignore" }));
}

/** All of them compute, at that priority. */
export const areBusy = (loops: readonly ChildProcess[], priority: number | null): boolean =>
  loops.every(({ pid, exitCode, signalCode }) => {
    const runs = pid !== undefined && exitCode === null && signalCode === null;
    return runs && priorityOf(pid) === priority;
  });

export async function ended(children: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    children.map(
      (child) =>
        new Promise<void>((resolve) => {
          if (child.exitCode !== null || child.signalCode !== null) return resolve();
          child.once("exit", () => resolve());
          child.kill("SIGKILL");
          if (child.pid !== undefined) signalTo(-child.pid, "SIGKILL"); // And what it has started: `timeout` leads a group.
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
