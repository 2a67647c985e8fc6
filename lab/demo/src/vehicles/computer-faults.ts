/** What happens to a vehicle's computer on a drive: real faults of real processes, disks and networks. */
import { spawn } from "node:child_process";
import { rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { Failure } from "@tributary/kernel";
import { waitFor } from "@tributary/testing";
import type { ControlGroup } from "./control-group.ts";
import { areBusy, busyLoops, ended, every, type Fault, isStopped, signalTo } from "./fault.ts";

const [HALF_SPEED_MS, HALF_SPEED_SECONDS] = [6, 15];
/** Timers are late under load, and a stop lasts longer then. */
const TURNS_SHARE_MIN = 0.5;
const STOPS_WITHIN_MS = 50;
const BUSY_LOOPS = 4;
const HOG_BYTES = 64 << 20;
/** What a program of that size has beside it, and pages of files. */
const SLACK_BYTES = 80 << 20;
const [KILL_EVERY_S, KILL_SECONDS] = [5, 30];
/** Of a full disk there is less than the agent writes at once. */
const FULL_BYTES_MAX = 128 << 10;
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
      await setTimeout(STOPS_WITHIN_MS);
      const wasStopped = isStopped(pid); // The agent ends it later.
      return { happened: () => wasStopped, end: () => void signalTo(pid, "SIGCONT") };
    },
  },
  {
    name: "full model killed",
    seconds: 10,
    expects: "kept",
    async begin(car) {
      const pid = await car.fullPid();
      signalTo(pid, "SIGKILL");
      return { happened: () => !signalTo(pid, 0), end: () => undefined };
    },
  },
  {
    name: "full model at half speed",
    seconds: HALF_SPEED_SECONDS,
    expects: "kept",
    async begin(car) {
      const pid = await car.fullPid();
      let turns = 0;
      const timer = setInterval(() => {
        turns += signalTo(pid, turns % 2 === 0 ? "SIGSTOP" : "SIGCONT") ? 1 : 0;
      }, HALF_SPEED_MS);
      const end = () => {
        clearInterval(timer);
        signalTo(pid, "SIGCONT");
      };
      return { happened: () => turns > (TURNS_SHARE_MIN * HALF_SPEED_SECONDS * 1_000) / HALF_SPEED_MS, end };
    },
  },
  {
    name: `${BUSY_LOOPS} busy loops beside`,
    seconds: 15,
    expects: "kept",
    async begin() {
      const loops = busyLoops(BUSY_LOOPS, null, 60);
      return { happened: () => areBusy(loops, null), end: () => ended(loops) };
    },
  },
  {
    name: "memory pressure",
    seconds: 15,
    expects: "kept",
    needs: "memory-group",
    async begin(car) {
      const group = car.memory as ControlGroup;
      const [times, file] = [group.timesAtLimit, join(car.dir, "hog")];
      await made(file, 4 * HOG_BYTES);
      group.limitMemory(group.memoryBytes + HOG_BYTES + SLACK_BYTES);
      const hog = spawn(process.execPath, ["-e", HOG, String(HOG_BYTES), file], { stdio: "ignore" });
      if (hog.pid !== undefined) group.enter(hog.pid);
      const end = async () => {
        await ended([hog]);
        group.limitMemory(null);
        rmSync(file, { force: true });
      };
      return { happened: () => group.timesAtLimit > times, end };
    },
  },
  {
    name: "download of a model",
    seconds: 15,
    expects: "kept",
    async begin(car) {
      await car.update(20_000);
      const end = () => {
        car.registry.bytesPerSecond = undefined;
      };
      return { happened: () => car.isUpdating(), end };
    },
  },
  {
    name: "switch to it",
    seconds: 20,
    expects: "kept",
    async begin(car) {
      // What was downloaded is verified, loaded beside, tried in shadow, and switched to.
      const phase = car.updated();
      const happened = async () => {
        const ended = await phase;
        if (ended !== "COMMITTED") throw new Failure("drive-update", "give-up", `the update ended ${ended}`);
        return true;
      };
      return { happened, end: () => undefined };
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
      const end = async () => {
        await ended([filling]);
        writeFileSync(file, "");
      };
      const isFull = () => {
        const { bavail, bsize } = statfsSync(car.dataDir);
        return bavail * bsize < FULL_BYTES_MAX || undefined;
      };
      return { happened: () => waitFor(isFull, { what: "a full disk" }), end };
    },
  },
  {
    name: "network away",
    seconds: 15,
    expects: "kept",
    async begin(car) {
      await car.cutNetwork();
      return { happened: async () => !(await car.status()).online, end: () => car.restoreNetwork() };
    },
  },
  {
    name: "hot",
    seconds: 15,
    expects: "kept",
    async begin(car) {
      car.setCelsius(HOT);
      const happened = async () => (await car.status()).driving?.reason === "hot";
      return { happened, end: () => car.setCelsius(COOL) };
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
      return { happened: () => car.policyReloaded(), end: every(3, (turn) => car.reloadPolicy(turn)) };
    },
  },
  {
    name: `both models killed, every ${KILL_EVERY_S} s`,
    seconds: KILL_SECONDS,
    expects: "firm",
    async begin(car) {
      let turns = 0;
      const end = every(KILL_EVERY_S, async () => {
        const [full, lite] = [await car.fullPid(), await car.litePids()];
        const killed = [full, ...lite].map((pid) => signalTo(pid, "SIGKILL"));
        turns += lite.length > 0 && killed.every(Boolean) ? 1 : 0;
      });
      return { happened: () => turns >= KILL_SECONDS / KILL_EVERY_S - 1, end };
    },
  },
];

/** A program of its own writes the file: pauses of this one would look like the device's. */
function made(file: string, bytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn("sh", ["-c", MADE, "made", file, String(bytes >> 20)], { stdio: "ignore" });
    child.once("error", reject);
    child.once("exit", (code) =>
      code === 0
        ? resolve()
        : reject(new Failure("drive-disk", "ask-a-person", `${file} could not be written: dd ended with ${code}`)),
    );
  });
}

const FILL = `while :; do dd if=/dev/zero of="$1" bs=64k oflag=append conv=notrunc 2> /dev/null; sleep .1; done`;
/**
 * Touches its memory all the time, and reads a file again and again whose pages do not fit beside it. It does not write: whoever needs a page in a control group of
 * version 1 waits until written ones are on the disk, which is so neither in version 2 nor where a whole machine is short of memory.
 */
const HOG = `
const [, bytes, file] = process.argv;
const held = Buffer.alloc(Number(bytes), 1);
const chunk = Buffer.alloc(1 << 20);
const { openSync, readSync } = require("node:fs");
const fd = openSync(file, "r");
for (;;) {
  for (let i = 0; i < held.length; i += 4096) held[i]++;
  for (let at = 0; at < 4 * held.length; at += chunk.length) readSync(fd, chunk, 0, chunk.length, at);
}
`;
/** Writes a file, and then lets the kernel forget its pages, which it counts to the group that reads them first. */
const MADE = `dd if=/dev/zero of="$1" bs=1M count="$2" conv=fsync && dd of="$1" oflag=nocache conv=notrunc,fdatasync count=0`;
