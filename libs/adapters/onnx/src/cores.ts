/** Separates threads that a frame waits for from other threads, on different cores.
 *
 * A frame crosses threads and processes, asleep in between. Linux may wake its next thread behind a compiler or a disk
 * commit that holds a core, and lets that one finish its slice of some 3 ms first, whatever its niceness. With a core reserved
 * for them, the 99th percentile of a frame fell by a third (ADR 12).
 *
 * Needs Linux, two cores and util-linux's taskset. Without them no thread is moved, and latencies vary more.
 *
 * Q1. The last thread of a process to end still releases its entries in /proc when the parent is woken to reap it. A parent that
 *     preempts it on that core, from a real-time class, waits for these in the kernel without sleeping, until Linux throttles it
 *     after .95 s. So of a model's threads only the main one, which releases none, and raised ones are on the frames' cores.
 * Q2. Other programs run on the frames' cores too, and hold them just as long. A thread in a real-time class does not wait for
 *     them. That needs util-linux's chrt and a permission (CAP_SYS_NICE, or RLIMIT_RTPRIO of 1). */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export type Cores = {
  /** As taskset takes them: "0-2" or "0,2". */
  readonly frames: string;
  readonly background: string;
};

/** `allowed`: the kernel's list, e.g. "0-3,6". The last core is the background's; null when there is but one. */
export function coresOf(allowed: string): Cores | null {
  const cores = allowed
    .trim()
    .split(",")
    .flatMap((range) => {
      const [first = "", last = first] = range.split("-");
      return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i);
    });
  const background = cores.pop();
  return cores.length === 0 ? null : { frames: cores.join(","), background: String(background) };
}

/** The cores of this process, `null` where they cannot be set apart. Ask before `separateThreads`. */
export function coresOfProcess(): Cores | null {
  try {
    const status = readFileSync("/proc/self/status", "utf8");
    return coresOf(/^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? "");
  } catch {
    return null;
  }
}

/** This process's threads: V8's own to the background, the main one and all that it will start to the frames' cores. */
export function separateThreads({ frames, background }: Cores): void {
  moveCompilers(background);
  pin(String(process.pid), frames);
}

/** V8's own threads, which compile and collect garbage, and the one that waits for a debugger; Node names them since version 24. */
export function moveCompilers(core: string): void {
  moveThreads(core, /^(V8Worker|DelayedTask|SignalInspector)/);
}

/** All of this process but its main one (Q1). */
export function moveOtherThreads(core: string): void {
  moveThreads(core, /^(?!MainThread|node)/);
}

function moveThreads(core: string, named: RegExp): void {
  for (const thread of readdirSync("/proc/self/task")) if (named.test(nameOf(thread))) pin(thread, core);
}

/** The calling worker thread. */
export function moveThisThread(core: string): void {
  pin(readlinkSync("/proc/thread-self").split("/").at(-1) ?? "", core);
}

/** Puts the calling thread into a real-time class; threads that it starts are not. */
export function raiseThisThread(): void {
  raise(readlinkSync("/proc/thread-self").split("/").at(-1) ?? "", ["--reset-on-fork"]);
}

/** The same for this process's threads but V8's own, and for those that they start from now on. */
export function raiseThisProcess(): void {
  for (const thread of readdirSync("/proc/self/task")) {
    if (/^(MainThread|node|libuv)/.test(nameOf(thread))) raise(thread, []);
  }
}

function raise(thread: string, options: readonly string[]): void {
  spawnSync("chrt", ["--rr", ...options, "--pid", "1", thread], { stdio: "ignore" }); // A missing permission is not an error.
}

function pin(thread: string, cores: string): void {
  spawnSync("taskset", ["--pid", "--cpu-list", cores, thread], { stdio: "ignore" }); // A missing taskset is not an error.
}

function nameOf(thread: string): string {
  try {
    return readFileSync(`/proc/self/task/${thread}/comm`, "utf8");
  } catch {
    return ""; // It ended.
  }
}
