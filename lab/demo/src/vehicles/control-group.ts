/** Control groups of Linux, of version 1 and 2: what gives a vehicle's computer a part of a core, or less memory than its programs would use. A kernel
 * has each of its controllers in one version. Needs root. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { reasonOf } from "@tributary/kernel";

type Controller = "cpu" | "memory";
type Version = 1 | 2;

/** By which a controller of version 1 is known. */
const LIMIT_OF_V1 = { cpu: "cpu.cfs_quota_us", memory: "memory.limit_in_bytes" } as const;
const PERIOD_US = 100_000;

export class ControlGroup {
  readonly #parent: string;
  readonly #dir: string;
  readonly #isV1: boolean;

  private constructor(controller: Controller, parent: string, isV1: boolean) {
    this.#parent = parent;
    this.#dir = join(parent, `tributary-drive-${controller}-${process.pid}`);
    this.#isV1 = isV1;
    mkdirSync(this.#dir);
  }

  /** Makes a group, or says why there is none on this machine. */
  static make(controller: Controller, version: Version): ControlGroup | string {
    if (process.getuid?.() !== 0) return "a control group needs root";
    const parent = version === 1 ? parentOfV1(controller) : parentOfV2(controller);
    if (parent === null) return `this kernel's ${controller} controller is not in version ${version}`;
    try {
      if (version === 2) writeFileSync(join(parent, "cgroup.subtree_control"), `+${controller}`);
      return new ControlGroup(controller, parent, version === 1);
    } catch (error) {
      return reasonOf(error);
    }
  }

  /** Moves a process into the group, with all that it starts later. What memory it has stays where it is. */
  enter(pid: number): void {
    this.#write("cgroup.procs", String(pid));
  }

  leave(pid: number): void {
    writeFileSync(join(this.#parent, "cgroup.procs"), String(pid));
  }

  has(pid: number): boolean {
    return this.#read("cgroup.procs").split("\n").includes(String(pid));
  }

  /** `share`: of a core; null: all of them. */
  limitCpu(share: number | null): void {
    const quotaUs = share === null ? null : Math.round(share * PERIOD_US);
    if (this.#isV1) {
      this.#write("cpu.cfs_period_us", String(PERIOD_US));
      this.#write("cpu.cfs_quota_us", String(quotaUs ?? -1));
    } else this.#write("cpu.max", `${quotaUs ?? "max"} ${PERIOD_US}`);
  }

  /** Of a core, as the kernel states it; null: all of them. */
  get cpuShare(): number | null {
    const quota = this.#isV1 ? this.#read("cpu.cfs_quota_us") : this.#read("cpu.max").split(" ")[0];
    return quota === "-1" || quota === "max" ? null : Number(quota) / PERIOD_US;
  }

  /** Null: all that there is. */
  limitMemory(bytes: number | null): void {
    if (this.#isV1) this.#write("memory.limit_in_bytes", String(bytes ?? -1));
    else this.#write("memory.max", String(bytes ?? "max"));
  }

  /** Of its processes, and pages of files that they have read or written. */
  get memoryBytes(): number {
    return Number(this.#read(this.#isV1 ? "memory.usage_in_bytes" : "memory.current"));
  }

  /** How often the kernel had to take pages, as there were no more. */
  get timesAtLimit(): number {
    return Number(
      this.#isV1 ? this.#read("memory.failcnt") : (/^max (\d+)/m.exec(this.#read("memory.events"))?.[1] ?? 0),
    );
  }

  /** Its processes have ended, or are moved out. */
  remove(): void {
    for (const pid of this.#read("cgroup.procs").split("\n").filter(Boolean)) this.leave(Number(pid));
    rmdirSync(this.#dir);
  }

  #read(file: string): string {
    return readFileSync(join(this.#dir, file), "utf8").trim();
  }

  #write(file: string, text: string): void {
    writeFileSync(join(this.#dir, file), text);
  }
}

const ownGroups = () => readFileSync("/proc/self/cgroup", "utf8");

/** The group of this process; null: the controller is not there. */
function parentOfV1(controller: Controller): string | null {
  const controllers = `(?:[^:\\n]*,)?${controller}(?:,[^:\\n]*)?`;
  const own = new RegExp(`^\\d+:${controllers}:(.*)$`, "m").exec(ownGroups())?.[1];
  const root = `/sys/fs/cgroup/${controller}`;
  if (own === undefined) return null;
  return [join(root, own), root].find((dir) => existsSync(join(dir, LIMIT_OF_V1[controller]))) ?? null;
}

function parentOfV2(controller: Controller): string | null {
  const root = /^\S+ (\S+) cgroup2 /m.exec(readFileSync("/proc/mounts", "utf8"))?.[1];
  const own = /^0::(.*)$/m.exec(ownGroups())?.[1];
  if (root === undefined || own === undefined) return null;
  const hasController = (dir: string) => {
    const file = join(dir, "cgroup.controllers");
    return existsSync(file) && readFileSync(file, "utf8").split(/\s/).includes(controller);
  };
  return [join(root, own), root].find(hasController) ?? null;
}
