/** Processes of a stack, found by their environment and ended together. */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { identify, isAlive, type ProcessId } from "@tributary/kernel/processes";

/** Processes whose environment holds `name=value`: what a stack started, at whatever depth. */
export function marked(name: string, value: string): ProcessId[] {
  const wanted = `${name}=${value}`;
  return pids().flatMap((pid) => {
    if (pid === process.pid) return [];
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(wanted)) return [];
    } catch {
      return [];
    }
    return identify(pid) ?? [];
  });
}

function pids(): number[] {
  try {
    return readdirSync("/proc").map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

/** Proportional set size: shared pages counted once among those who share them. */
export function pssBytes(pid: number): number {
  try {
    return Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** SIGTERM, and after `graceMs` SIGKILL, to those that still run. Returns how many there were. */
export async function endAll(ids: readonly ProcessId[], graceMs: number): Promise<number> {
  const before = ids.filter(isAlive);
  for (const id of before) signal(id, "SIGTERM");
  const until = performance.now() + graceMs;
  while (before.some(isAlive) && performance.now() < until) await sleep(50);
  for (const id of before) signal(id, "SIGKILL");
  while (before.some(isAlive)) await sleep(20);
  return before.length;
}

/** At once, without waiting for their end. */
export function killAll(ids: readonly ProcessId[]): void {
  for (const id of ids) signal(id, "SIGKILL");
}

function signal(id: ProcessId, name: NodeJS.Signals): void {
  if (!isAlive(id)) return;
  try {
    process.kill(id.pid, name);
  } catch {
    // It has ended in between.
  }
}
