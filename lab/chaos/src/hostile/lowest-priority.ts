/**
 * Gives what would have processors of its own in a deployment the lowest priority on the processors that everything shares here.
 *
 * Linux's autogroup shares processors out by sessions first: the priorities of threads count within one session only.
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { constants, setPriority } from "node:os";

const { PRIORITY_LOW } = constants.priority;

/** All threads of a process that leads a session, and of its children. */
export async function lowestPriority(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/autogroup`, String(PRIORITY_LOW)).catch(() => undefined); // A kernel without it shares out by threads.
  await lowerThreads(pid);
}

async function lowerThreads(pid: number): Promise<void> {
  const tasks = await readdir(`/proc/${pid}/task`);
  for (const task of tasks) {
    setPriority(Number(task), PRIORITY_LOW);
    const children = await readFile(`/proc/${pid}/task/${task}/children`, "utf8");
    for (const child of children.split(" ").filter(Boolean)) await lowerThreads(Number(child));
  }
}
