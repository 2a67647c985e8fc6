/** One drive: a car, and one fault after another, each followed by a time without one. */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Failure, reasonOf } from "@tributary/kernel";
import type { DriveLog, DrivePhase, Promised } from "./account.ts";
import { Car, type CarOptions } from "./car.ts";
import { usualFaults } from "./computer-faults.ts";
import { ControlGroup } from "./control-group.ts";
import type { Fault, Ongoing } from "./fault.ts";
import type { Pause } from "./pauses.ts";
import { SEND_EVERY_MS } from "./reader.ts";

export const FPS = 20;
export const promised: Promised = { deadlineMs: 50, firm: { met: 19, of: 20 } };

/** The ladder's times in a drive that is too short for its usual dwell of 30 s, recovery and cooling of 60 s, and a probe a second. */
const SHORT_LADDER = { dwellMs: 1_500, recoverMs: 3_000, probeEveryMs: 100, heat: { coolMs: 3_000 } };
const DISK_BYTES = "48m";
const SETTLE_MS = 5_000;
const STARTS_MAX = 3;
/** With the short times of the ladder, and with the usual ones. */
const RECOVER_MS_MAX = { short: 30_000, usual: 150_000 };

export type DriveOptions = Omit<CarOptions, "dataDir" | "fps" | "deadlineMs" | "ladder" | "memory" | "realtime"> & {
  /** False by default. */
  readonly realtime?: boolean;
  /** By default those of a drive of few minutes. */
  readonly faults?: readonly Fault[];
  /** Each fault meets the device at FULL again. */
  readonly recovers?: boolean;
  readonly minutes: number;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
};

export type Drive = DriveLog & {
  readonly isShort: boolean;
  readonly realtime: boolean;
  readonly skipped: readonly string[];
  readonly areInstrumentsAhead: boolean;
};

/** The usual times of the ladder need this long for every fault and its recovery. */
const MINUTES_OF_USUAL_TIMES = 25;

export async function runDrive({
  dir,
  faults = usualFaults,
  recovers = false,
  realtime = false,
  minutes,
  log,
  signal,
  ...car
}: DriveOptions): Promise<Drive> {
  const isShort = minutes < MINUTES_OF_USUAL_TIMES;
  const recoverMsMax = RECOVER_MS_MAX[isShort ? "short" : "usual"];
  SmallDisk.unmountLeftover(join(dir, "disk"));
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  const disk = new SmallDisk(join(dir, "disk"));
  const memory = memoryGroup();
  const phases: DrivePhase[] = [];
  const skipped: string[] = [];
  // Idle first, and between two faults.
  const totalMs = minutes * 60_000;
  const faultsMs = faults.reduce((sum, { seconds }) => sum + seconds * 1_000, 0);
  const idleMs = Math.max(10_000, (totalMs - faultsMs) * (isShort ? 0.2 : 0.35));
  const betweenMs = Math.max(4_000, (totalMs - faultsMs - idleMs) / faults.length);
  let running: Car | undefined;
  try {
    running = await started(
      {
        ...car,
        realtime,
        dir,
        dataDir: disk.dataDir,
        fps: FPS,
        deadlineMs: promised.deadlineMs,
        ladder: isShort ? SHORT_LADDER : undefined,
        memory: typeof memory === "string" ? undefined : memory,
      },
      log,
    );
    const self = running;
    await sleep(SETTLE_MS, signal);
    const startMs = self.nowMs;
    const phase = async (
      name: string,
      { expects, fps = FPS }: Pick<Fault, "expects" | "fps">,
      wait: () => Promise<Partial<Pick<DrivePhase, "happened" | "recovered">>>,
    ) => {
      // What begins and ends a fault takes time too, in which nothing may be missed.
      const fromMs = phases.at(-1)?.untilMs ?? startMs;
      const found = await wait();
      await self.askLoad();
      phases.push({ name, fromMs, untilMs: self.nowMs, expects, fps, happened: null, recovered: null, ...found });
    };
    log(`idle for ${(idleMs / 1_000).toFixed(0)} s`);
    await phase("idle", { expects: "kept" }, async () => {
      await sleep(idleMs, signal);
      return {};
    });
    for (const fault of faults) {
      const why = whySkipped(fault, disk, memory, realtime);
      if (why !== null) {
        skipped.push(`${fault.name}: ${why}`);
        continue;
      }
      log(fault.name);
      const { happened, end } = await fault.begin(self);
      await phase(fault.name, fault, async () => {
        try {
          await sleep(fault.seconds * 1_000, signal);
          return { happened: await proven(happened, log) };
        } finally {
          await end();
        }
      });
      // What it did is over at the device a moment later.
      const expects = fault.expects === "kept" ? "kept" : "firm";
      await phase(`after: ${fault.name}`, { expects }, async () => {
        await sleep(betweenMs, signal);
        return { recovered: recovers ? await self.isAtFull(recoverMsMax) : null };
      });
    }
    // The last answers are on their way.
    await sleep(2 * SEND_EVERY_MS, signal);
    const { shown: frames, answers, changes, lates, loads, areInstrumentsAhead } = self;
    const pauses = outsideLoads(self.pauses, phases);
    return { frames, answers, changes, pauses, lates, loads, phases, isShort, realtime, skipped, areInstrumentsAhead };
  } finally {
    await running?.stop();
    disk.remove();
    if (typeof memory !== "string") memory.remove();
  }
}

/** Where programs of the real-time class fill a processor, the kernel stops them all for 50 ms of each second: that is the load's doing. */
function outsideLoads(pauses: readonly Pause[], phases: readonly DrivePhase[]): readonly Pause[] {
  const loads = phases.filter(({ expects }) => expects === "overload");
  return pauses.filter((pause) => !loads.some((one) => pause.untilMs > one.fromMs && pause.fromMs < one.untilMs));
}

/** What cannot be asked is not proven. */
async function proven(happened: Ongoing["happened"], log: DriveOptions["log"]): Promise<boolean> {
  try {
    return await happened();
  } catch (error) {
    log(`not proven: ${reasonOf(error)}`);
    return false;
  }
}

/** An agent refuses a LITE that is slow while it starts, as it is where the machine has other work at that moment. */
async function started(options: CarOptions, log: DriveOptions["log"]): Promise<Car> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await Car.start(options);
    } catch (error) {
      if (attempt === STARTS_MAX || !reasonOf(error).includes("LITE")) throw error;
      log(`it did not start: ${reasonOf(error).split("\n").at(-1)}`);
    }
  }
}

function whySkipped(
  { needs }: Fault,
  disk: SmallDisk,
  memory: ControlGroup | string,
  realtime: boolean,
): string | null {
  if (needs === "realtime" && !realtime) return "it needs --realtime";
  if (needs === "small-disk" && !disk.isSmall) return "a small disk needs root";
  return needs === "memory-group" && typeof memory === "string" ? memory : null;
}

/** Of the version that the kernel has; a reason: none. */
function memoryGroup(): ControlGroup | string {
  const ofV1 = ControlGroup.make("memory", 1);
  return typeof ofV1 === "string" ? ControlGroup.make("memory", 2) : ofV1;
}

/** A file system of its own for the agent's data, in memory: one that can be filled. */
class SmallDisk {
  readonly dataDir: string;
  readonly isSmall: boolean;

  /** Of a run that was killed. */
  static unmountLeftover(dir: string): void {
    spawnSync("umount", [dir], { stdio: "ignore" });
  }

  constructor(dir: string) {
    mkdirSync(dir, { recursive: true });
    this.dataDir = dir;
    this.isSmall = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "tmpfs", dir]).status === 0;
  }

  remove(): void {
    if (!this.isSmall) return;
    const { status, stderr } = spawnSync("umount", [this.dataDir], { encoding: "utf8" });
    if (status !== 0) throw new Failure("drive-disk", "ask-a-person", `umount ${this.dataDir}: ${reasonOf(stderr)}`);
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    }, ms);
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
  });
}
