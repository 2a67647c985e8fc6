/** Priorities and cores of processes: of the agent's, and of what stands in for hardware. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { coresOfProcess } from "@tributary/onnx";

/** The camera and the reader go before all loads, which have the agent's own priority or less. */
const INSTRUMENT = 50;
/** Before these. */
const FIRST = 90;
/** The place of the priority among the fields of /proc/PID/stat behind the name, which is in parentheses. */
const RT_PRIORITY = 37;

/** The process's priority in Linux's real-time class; null: it is not in it. */
export function priorityOf(pid: number): number | null {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  const priority = Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[RT_PRIORITY]);
  return priority > 0 ? priority : null;
}

/** A camera is hardware, and the program that drives has cores of its own: what stands in for them waits for no other program, and is on the
 * last core, where no frame waits for it. All of their threads: garbage is collected by several, which wait for each other. False: without the
 * permission they are ordinary programs. */
export const putBeside = (pid: number): boolean => put(pid, coresOfProcess()?.background, INSTRUMENT);

/** Before all that runs on that core. False: without the permission it is an ordinary program. */
export const putFirst = (pid: number, core: string): boolean => put(pid, core, FIRST);

/** Where a device may keep a core for its background; otherwise none. */
export function coresOf(): readonly string[] {
  const cores = coresOfProcess();
  return cores === null ? [] : [...cores.frames.split(","), cores.background];
}

function put(pid: number, core: string | undefined, priority: number): boolean {
  if (core === undefined) return false;
  const ran = (program: string, ...args: string[]) => spawnSync(program, args, { stdio: "ignore" }).status === 0;
  const isMoved = ran("taskset", "--all-tasks", "--pid", "--cpu-list", core, String(pid));
  return ran("chrt", "--all-tasks", "--rr", "--pid", String(priority), String(pid)) && isMoved;
}
