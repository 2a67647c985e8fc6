/** What happens to a vehicle's computer on a drive: real faults of real processes, disks and networks. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "@tributary/kernel";
import { residentBytesOf } from "@tributary/kernel/processes";
import { busyLoops, ended, every, type Fault, signalTo } from "./fault.ts";

const HALF_SPEED_MS = 6;
const BUSY_LOOPS = 4;
const HOG_BYTES = 64 << 20;
/** What a program of that size has beside it, and pages of files. */
const SLACK_BYTES = 80 << 20;
const HOT = 82;
const COOL = 50;

/** The faults that a drive of few minutes has, too. */
export const usualFaults: readonly Fault[] = [
  {
    name: "full model stopped",
    seconds: 10,
    expects: "kept",
    async begin(car) {
      const pid = await car.fullPid();
      signalTo(pid, "SIGSTOP");
      return () => signalTo(pid, "SIGCONT");
    },
  },
  {
    name: "full model killed",
    seconds: 10,
    expects: "kept",
    async begin(car) {
      signalTo(await car.fullPid(), "SIGKILL");
      return () => undefined;
    },
  },
  {
    name: "full model at half speed",
    seconds: 15,
    expects: "kept",
    async begin(car) {
      const pid = await car.fullPid();
      let isStopped = false;
      const timer = setInterval(() => {
        isStopped = !isStopped;
        signalTo(pid, isStopped ? "SIGSTOP" : "SIGCONT");
      }, HALF_SPEED_MS);
      return () => {
        clearInterval(timer);
        signalTo(pid, "SIGCONT");
      };
    },
  },
  {
    name: `${BUSY_LOOPS} busy loops beside`,
    seconds: 15,
    expects: "kept",
    async begin() {
      const loops = busyLoops(BUSY_LOOPS, null, 60);
      return () => ended(loops);
    },
  },
  {
    name: "memory pressure",
    seconds: 15,
    expects: "kept",
    needs: "root",
    async begin(car) {
      const group = MemoryGroup.make([car.pid, await car.fullPid(), ...(await car.litePids())]);
      const file = join(car.dir, "hog");
      const hog = spawn(process.execPath, ["-e", HOG, String(HOG_BYTES), file], { stdio: "ignore" });
      group.add(hog.pid ?? -1);
      return async () => {
        await ended([hog]);
        group.remove();
        rmSync(file, { force: true });
      };
    },
  },
  {
    name: "download of a model",
    seconds: 15,
    expects: "kept",
    async begin(car) {
      await car.update(20_000);
      return () => {
        car.registry.bytesPerSecond = undefined;
      };
    },
  },
  {
    name: "switch to it",
    seconds: 20,
    expects: "kept",
    async begin(car) {
      // What was downloaded is verified, loaded beside, tried in shadow, and switched to.
      const phase = car.updated();
      return async () => {
        const ended = await phase;
        if (ended !== "COMMITTED") throw new Failure("drive-update", "give-up", `the update ended ${ended}`);
      };
    },
  },
  {
    name: "disk full",
    seconds: 15,
    expects: "kept",
    needs: "small-disk",
    async begin(car) {
      // Not by this process, whose pauses would look like the device's.
      const file = join(car.dataDir, "filling");
      const filling = spawn("sh", ["-c", FILL, "fill", file], { stdio: "ignore" });
      return async () => {
        await ended([filling]);
        writeFileSync(file, "");
      };
    },
  },
  {
    name: "network away",
    seconds: 15,
    expects: "kept",
    async begin(car) {
      await car.cutNetwork();
      return () => car.restoreNetwork();
    },
  },
  {
    name: "hot",
    seconds: 15,
    expects: "kept",
    async begin(car) {
      car.setCelsius(HOT);
      return () => car.setCelsius(COOL);
    },
  },
];

/** Those, and what keeps answers away for a moment, or changes the configuration of a device that runs. */
export const computerFaults: readonly Fault[] = [
  ...usualFaults,
  {
    name: "configuration reloaded",
    seconds: 15,
    expects: "kept",
    async begin(car) {
      const end = every(3, (turn) => car.reloadPolicy(turn));
      return async () => {
        end();
        await car.policyReloaded();
      };
    },
  },
  {
    name: "both models killed, every 5 s",
    seconds: 30,
    expects: "firm",
    async begin(car) {
      return every(5, async () => {
        for (const pid of await car.modelPids()) signalTo(pid, "SIGKILL");
      });
    },
  },
];

const FILL = `while :; do dd if=/dev/zero of="$1" bs=64k oflag=append conv=notrunc 2> /dev/null; sleep .1; done`;
/** Touches its memory all the time, and writes a file again and again whose pages do not fit beside it. */
const HOG = `
const [, bytes, file] = process.argv;
const held = Buffer.alloc(Number(bytes), 1);
const { openSync, writeSync } = require("node:fs");
const fd = openSync(file, "w");
for (;;) {
  for (let i = 0; i < held.length; i += 4096) held[i]++;
  for (let at = 0; at < 4 * held.length; at += 1 << 20) writeSync(fd, held, 0, 1 << 20, at);
}
`;

/** A control group of Linux with as much memory as its processes have now, and a little more: it is at its bound all the time, as files are
 * written. Needs root. */
class MemoryGroup {
  readonly #dir: string;
  readonly #parent: string;

  private constructor(dir: string, parent: string) {
    this.#dir = dir;
    this.#parent = parent;
  }

  static make(pids: readonly number[]): MemoryGroup {
    const own = /^\d+:memory:(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1];
    const isV1 = own !== undefined && existsSync("/sys/fs/cgroup/memory");
    const parent = isV1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
    const dir = join(parent, `tributary-drive-${process.pid}`);
    try {
      mkdirSync(dir);
      const bytes = pids.reduce((sum, pid) => sum + (pid > 0 ? residentBytesOf(pid) : 0), HOG_BYTES + SLACK_BYTES);
      writeFileSync(join(dir, isV1 ? "memory.limit_in_bytes" : "memory.max"), String(bytes));
    } catch (error) {
      throw new Failure("drive-no-cgroup", "ask-a-person", `memory pressure needs control groups, as root: ${error}`);
    }
    const group = new MemoryGroup(dir, isV1 ? join(parent, own ?? "") : parent);
    for (const pid of pids) if (pid > 0) group.add(pid);
    return group;
  }

  add(pid: number): void {
    writeFileSync(join(this.#dir, "cgroup.procs"), String(pid));
  }

  remove(): void {
    const pids = readFileSync(join(this.#dir, "cgroup.procs"), "utf8").split("\n").filter(Boolean);
    for (const pid of pids) writeFileSync(join(this.#parent, "cgroup.procs"), pid);
    rmdirSync(this.#dir);
  }
}
