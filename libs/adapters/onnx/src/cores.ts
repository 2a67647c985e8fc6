/** Separates threads that a frame waits for from other threads, on different cores.
 *
 * A frame crosses threads and processes, asleep in between. Linux may wake its next thread behind a compiler or a disk
 * commit that holds a core, and lets that one finish its slice of some 3 ms first, whatever its niceness. With a core reserved
 * for them, the 99th percentile of a frame fell by a third (ADR 12).
 *
 * Needs Linux, two cores and util-linux's taskset. Without them no thread is moved, and latencies vary more.
 *
 * Q1. The last thread of a process to end still releases its entries in /proc when the parent is woken to reap it. A parent that
 *     preempts it on that core, from a real-time class, waits for these in the kernel without sleeping: until Linux throttles it
 *     after .95 s, and without an end where the other is in that class itself, at a lower priority. So of a model's threads only the main
 *     one, which releases none, is on the frames' cores.
 * Q2. Other programs run on the frames' cores too, and hold them just as long. A thread in a real-time class does not wait for
 *     them. V8's own are in it too, last: a collection of garbage ends when its helpers do, which beside a program that never
 *     sleeps wait for their core. That needs util-linux's chrt and a permission (CAP_SYS_NICE, or RLIMIT_RTPRIO of the priority).
 * Q3. A process that goes ahead of its host could keep the host from ending it. So Linux ends it, after a time of computing on end
 *     (RLIMIT_RTTIME; util-linux's prlimit). V8's helpers of that process are not in the class: compiling may take them longer. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { RealTime } from "@tributary/inference";

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
  for (const thread of threadsNamed(named)) pin(thread, core);
}

function threadsNamed(named: RegExp): readonly string[] {
  return readdirSync("/proc/self/task").filter((thread) => named.test(nameOf(thread)));
}

/** The calling worker thread. */
export function moveThisThread(core: string): void {
  pin(readlinkSync("/proc/thread-self").split("/").at(-1) ?? "", core);
}

/** Of V8's own threads (Q2). */
const HELPERS_PRIORITY = 1;

/** Puts the calling thread into a real-time class, at a priority of 2 to 99, and V8's own behind it; threads that it starts are not in it.
 * False: that is not permitted. */
export function raiseThisThread(priority: number): boolean {
  if (!raise(readlinkSync("/proc/thread-self").split("/").at(-1) ?? "", priority, ["--reset-on-fork"])) return false;
  for (const thread of threadsNamed(/^V8Worker/)) raise(thread, HELPERS_PRIORITY, ["--reset-on-fork"]);
  return true;
}

/** Puts the calling worker thread and libuv's own last in that class: the main thread waits for locks that they hold, and an ordinary thread that
 * holds one may wait a second for a core (Q2). */
export function raiseHelpers(): void {
  const own = readlinkSync("/proc/thread-self").split("/").at(-1) ?? "";
  for (const thread of [own, ...threadsNamed(/^libuv/)]) raise(thread, HELPERS_PRIORITY, ["--reset-on-fork"]);
}

/** The same for all threads of this process, and for those that they start from now on. Move the others first (Q1). Returns why it
 * cannot be limited, and so was not raised (Q3); null: it can. */
export function raiseThisProcess({ priority, computesMsMax }: RealTime): string | null {
  const refused = computesMsMax === undefined ? null : limitComputing(computesMsMax);
  if (refused !== null) return refused;
  for (const thread of threadsNamed(/^(MainThread|node|libuv)/)) raise(thread, priority, []);
  if (computesMsMax !== undefined) return null; // Q3
  for (const thread of threadsNamed(/^V8Worker/)) raise(thread, HELPERS_PRIORITY, []);
  return null;
}

/** Q3. The soft limit ends it with SIGXCPU, which names the cause, and without a dump of its memory; the hard one with SIGKILL. Returns
 * why Linux does not take the limit; null: it does. */
function limitComputing(ms: number): string | null {
  const us = Math.ceil(1_000 * ms);
  const limits = [`--rttime=${us}:${2 * us}`, "--core=0:"];
  const { status, error, stderr } = spawnSync("prlimit", ["--pid", String(process.pid), ...limits], {
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
  });
  if (status === 0) return null;
  const why = error === undefined ? stderr.trim().slice(0, 200) || `it ended with ${status}` : error.message;
  return `util-linux's prlimit cannot limit how long it computes: ${why}`;
}

/** False: it is not permitted, or chrt is missing; neither is an error. */
function raise(thread: string, priority: number, options: readonly string[]): boolean {
  const at = String(priority);
  return spawnSync("chrt", ["--rr", ...options, "--pid", at, thread], { stdio: "ignore" }).status === 0;
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
