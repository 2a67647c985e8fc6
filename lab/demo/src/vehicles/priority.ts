/** Priorities and cores of processes: of the agent's, and of what stands in for hardware. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { constants, getPriority, setPriority } from "node:os";
import { coresOfProcess } from "@tributary/onnx";

/** Of the camera and the reader in the real-time class: before all loads, which have the agent's own priority or less. */
const INSTRUMENT = 50;
/** Of the sleepers: before these. */
const FIRST = 90;
/** Of an agent that is not in that class, as tributary-agent-vehicle.conf has it where the kernel permits none. */
const AGENT_NICENESS = -10;
/** The place of the priority among the fields of /proc/PID/stat behind the name, which is in parentheses. */
const RT_PRIORITY = 37;

/** The process's priority in Linux's real-time class; null: it is not in it. */
export function priorityOf(pid: number): number | null {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  const priority = Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[RT_PRIORITY]);
  return priority > 0 ? priority : null;
}

/** A camera is hardware, and the program that drives has cores of its own: what stands in for them goes before all others, and is on the
 * last core. `realtime`: in Linux's real-time class, so that it waits for no other program; else by the niceness of it and of its session, which it leads, so that it waits for a few
 * milliseconds. All of their threads: garbage is collected by several, which wait for each other. False: without the permission they have no precedence. */
export const putBeside = (pid: number, realtime: boolean): boolean =>
  put(pid, coresOfProcess()?.background, realtime ? INSTRUMENT : null);

/** A sleeper, on that core. */
export const putFirst = (pid: number, core: string, realtime: boolean): boolean =>
  put(pid, core, realtime ? FIRST : null);

/** Where a device may keep a core for its background; otherwise none. */
export function coresOf(): readonly string[] {
  const cores = coresOfProcess();
  return cores === null ? [] : [...cores.frames.split(","), cores.background];
}

/** What `start` starts has the niceness of a vehicle's agent, if that is permitted. */
export function asAgent<T>(start: () => T): T {
  const own = getPriority();
  isPermitted(() => setPriority(AGENT_NICENESS));
  try {
    return start();
  } finally {
    setPriority(own);
  }
}

function put(pid: number, core: string | undefined, priority: number | null): boolean {
  if (core === undefined) return false;
  const ran = (program: string, ...args: string[]) => spawnSync(program, args, { stdio: "ignore" }).status === 0;
  const isMoved = ran("taskset", "--all-tasks", "--pid", "--cpu-list", core, String(pid));
  if (priority !== null) return ran("chrt", "--all-tasks", "--rr", "--pid", String(priority), String(pid)) && isMoved;
  const niceness = constants.priority.PRIORITY_HIGHEST;
  const isFirst = isPermitted(() => {
    for (const thread of readdirSync(`/proc/${pid}/task`)) setPriority(Number(thread), niceness);
    // Where Linux shares processors by sessions first, a niceness counts within one.
    const session = `/proc/${pid}/autogroup`;
    if (existsSync(session)) writeFileSync(session, String(niceness));
  });
  return isFirst && isMoved;
}

/** False: it is not, or the process has ended. */
function isPermitted(act: () => void): boolean {
  try {
    act();
    return true;
  } catch {
    return false;
  }
}
