/**
 * The control groups of one node: a group of its name in every hierarchy that this machine has mounted, whether of version 1, 2 or both.
 * The kubelet makes groups of pods below. A group goes only by hand, once nothing runs in it.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "@tributary/kernel";

const ROOT = "/sys/fs/cgroup";
const REMOVAL_MS_MAX = 10_000;
/** Without it, all that the node runs weighs as much as one process beside it. Of version 1, where a group has 1,024, and version 2. */
const WEIGHTS = { "cpu.shares": "8192", "cpu.weight": "800" };

const hierarchies = (): string[] => {
  if (existsSync(join(ROOT, "cgroup.procs"))) return [ROOT];
  const folders = readdirSync(ROOT, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return folders.map(({ name }) => join(ROOT, name)).filter((folder) => existsSync(join(folder, "cgroup.procs")));
};

export function makeGroups(name: string): void {
  for (const hierarchy of hierarchies()) {
    const group = join(hierarchy, name);
    mkdirSync(group, { recursive: true });
    // In version 1 a child of cpuset starts empty, and takes no process.
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      if (hierarchy === ROOT || !existsSync(join(group, file))) continue;
      writeFileSync(join(group, file), readFileSync(join(hierarchy, file)));
    }
    for (const [file, weight] of Object.entries(WEIGHTS))
      if (existsSync(join(group, file))) writeFileSync(join(group, file), weight);
  }
}

/** Of all hierarchies; what was killed just now may keep its group busy for a moment. Returns the groups that remain. */
export async function removeGroups(name: string): Promise<readonly string[]> {
  const until = performance.now() + REMOVAL_MS_MAX;
  for (;;) {
    const left = hierarchies().flatMap((hierarchy) => removed(join(hierarchy, name)));
    if (left.length === 0 || performance.now() > until) return left;
    await systemClock.sleep(100);
  }
}

/** The deepest first; gives those that could not be removed. */
function removed(group: string): string[] {
  if (!existsSync(group)) return [];
  const children = readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const left = children.flatMap(({ name }) => removed(join(group, name)));
  try {
    rmdirSync(group);
    return left;
  } catch {
    return existsSync(group) ? [...left, group] : left;
  }
}
