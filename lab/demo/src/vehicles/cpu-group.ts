/** Control groups of Linux that give their processes a part of a core: version 1 (`cpu.cfs_quota_us`) and version 2 (`cpu.max`). A kernel has its
 * cpu controller in one of them. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { reasonOf } from "@tributary/kernel";

const PERIOD_US = 100_000;

export class CpuGroup {
  readonly #parent: string;
  readonly #dir: string;
  readonly #isV1: boolean;

  private constructor(parent: string, isV1: boolean) {
    this.#parent = parent;
    this.#isV1 = isV1;
    this.#dir = join(parent, `tributary-drive-${process.pid}`);
    mkdirSync(this.#dir);
  }

  /** Makes a group, or says why there is none on this machine. */
  static make(version: 1 | 2): CpuGroup | string {
    if (process.getuid?.() !== 0) return "a control group needs root";
    const parent = version === 1 ? parentOfV1() : parentOfV2();
    if (parent === null) return `this kernel's cpu controller is not in version ${version}`;
    try {
      if (version === 2) writeFileSync(join(parent, "cgroup.subtree_control"), "+cpu");
      return new CpuGroup(parent, version === 1);
    } catch (error) {
      return reasonOf(error);
    }
  }

  /** Moves a process into the group, with all that it starts later. */
  enter(pid: number): void {
    writeFileSync(join(this.#dir, "cgroup.procs"), String(pid));
  }

  leave(pid: number): void {
    writeFileSync(join(this.#parent, "cgroup.procs"), String(pid));
  }

  /** `share`: of a core; null: all of them. */
  limit(share: number | null): void {
    const quotaUs = share === null ? null : Math.round(share * PERIOD_US);
    const write = (file: string, text: string) => writeFileSync(join(this.#dir, file), text);
    if (this.#isV1) {
      write("cpu.cfs_period_us", String(PERIOD_US));
      write("cpu.cfs_quota_us", String(quotaUs ?? -1));
    } else write("cpu.max", `${quotaUs ?? "max"} ${PERIOD_US}`);
  }

  /** Its processes have ended. */
  remove(): void {
    for (const pid of readFileSync(join(this.#dir, "cgroup.procs"), "utf8").split("\n").filter(Boolean))
      this.leave(Number(pid));
    rmdirSync(this.#dir);
  }
}

const ownGroups = () => readFileSync("/proc/self/cgroup", "utf8");

/** The group of this process; null: the controller is not there. */
function parentOfV1(): string | null {
  const own = /^\d+:(?:[^:\n]*,)?cpu(?:,[^:\n]*)?:(.*)$/m.exec(ownGroups())?.[1];
  const root = "/sys/fs/cgroup/cpu";
  if (own === undefined) return null;
  return [join(root, own), root].find((dir) => existsSync(join(dir, "cpu.cfs_quota_us"))) ?? null;
}

function parentOfV2(): string | null {
  const root = /^\S+ (\S+) cgroup2 /m.exec(readFileSync("/proc/mounts", "utf8"))?.[1];
  const own = /^0::(.*)$/m.exec(ownGroups())?.[1];
  if (root === undefined || own === undefined) return null;
  const hasCpu = (dir: string) => {
    const file = join(dir, "cgroup.controllers");
    return existsSync(file) && readFileSync(file, "utf8").split(/\s/).includes("cpu");
  };
  return [join(root, own), root].find(hasCpu) ?? null;
}
