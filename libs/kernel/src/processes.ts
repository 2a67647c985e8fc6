/** Processes as Linux reports them. Pids are reused: only pid and start time together identify a process. */
import { spawnSync } from "node:child_process";
import { readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { isMainThread } from "node:worker_threads";

export type ProcessId = { readonly pid: number; readonly startedAt: string };

/** Start time in clock ticks since boot; undefined when there is no such process, or it is a zombie. */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command, in parentheses, may hold spaces and parentheses itself.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

export function identify(pid: number): ProcessId | undefined {
  const startedAt = startTimeOf(pid);
  return startedAt === undefined ? undefined : { pid, startedAt };
}

export const isAlive = (id: ProcessId): boolean => startTimeOf(id.pid) === id.startedAt;

let ownPlace: string | undefined;

/** Where pids have the meaning that they have here: this machine since its start, and the namespace. */
export function placeOfProcesses(): string {
  try {
    ownPlace ??= `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    ownPlace ??= hostname(); // Not Linux.
  }
  return ownPlace;
}

/** Resident pages, not address space: V8 and ONNX Runtime reserve far more than they touch. 0 where Linux does not report it. */
export function residentBytesOf(pid: number): number {
  try {
    return Number(/^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1_024;
  } catch {
    return 0;
  }
}

/** Where memory runs out, Linux ends this process sooner than its host by so much (`oom_score_adj`, up to 1,000). Not permitted, or not
 * Linux: nothing is changed. */
export function endSoonerThanHost(pid: number, score: number): void {
  try {
    const own = Number(readFileSync("/proc/self/oom_score_adj", "utf8"));
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(Math.min(1_000, own + score)));
  } catch {
    // It has ended, or cannot be changed.
  }
}

const DIES_WITH_HOST = ["setpriv", "--pdeathsig", "KILL", "--"];
let canDieWithHost: boolean | undefined;

/**
 * What a child's command begins with, so that it ends with this process, however that ends. A child inside a native call does not see
 * its pipe end. Linux ends it all the same when that is set before it is started, which util-linux's setpriv does and then becomes
 * the child. Elsewhere, and without one, this is empty, and the child goes when its call is over.
 */
export function diesWithHost(): readonly string[] {
  const [program = "", ...args] = DIES_WITH_HOST;
  // The signal comes when the starting thread ends, which for a worker thread may be before its process.
  canDieWithHost ??= isMainThread && spawnSync(program, [...args, "true"], { stdio: "ignore" }).status === 0;
  return canDieWithHost ? DIES_WITH_HOST : [];
}
