/** `bench vehicle`: answers within the deadline on a vehicle's computer, while everything that may happen to it does, beside the plain agent
 * under the same faults. */
import { join } from "node:path";
import { accountOfDrive, promised, reportOfDrive, roadFrames, runDrive, timelineOf } from "@tributary/demo/vehicles";
import { edgePackage, litePackage, runDir } from "@tributary/stack";
import type { Bench, BenchOptions, BenchReport } from "./bench.ts";

const MINUTES = 30;
/** Enough for the control, which is not watched for rare events. */
const CONTROL_MINUTES_MAX = 4;

export const vehicle: Bench = {
  name: "vehicle",
  summary: "answers within 50 ms at 20 frames a second under faults of a vehicle's computer, beside the plain agent",
  details: `One drive of --minutes (${MINUTES} by default), with real faults of real processes: the full model stopped, killed, at half speed; four
busy loops beside it; memory pressure; a download; a switch of models; a full disk; no network; heat. Frames are of a real road clip and are
decoded as such; they have no labels that the models know, so accuracy is not measured here: what LITE costs in accuracy is in models/edge-lite.
The control is the agent without deadlines, under the same faults. A full disk and memory pressure need root; without it they are left out, and
the report says so.
Gates: no (m,k) violation of (19,20), no silence longer than a period and the deadline, no two missed frames in a row, at most one change of the
level in ten minutes while nothing happens; the control is silent under at least one fault.`,
  run,
};

async function run({ flags, progress }: BenchOptions): Promise<BenchReport> {
  const minutes = flags.minutes === undefined ? MINUTES : Number(flags.minutes);
  const dir = join(runDir, "../vehicle");
  const road = roadFrames(dir);
  progress(`${road.frames} frames of the road, ${road.size}, ${(road.meanBytes / 1_024).toFixed(0)} KiB each`);
  const drive = (name: string, lite: string | null, ofMinutes: number) =>
    runDrive({
      dir: join(dir, name),
      full: edgePackage,
      lite,
      pictures: road.folder,
      minutes: ofMinutes,
      log: (line) => progress(`${name}: ${line}`),
      signal: new AbortController().signal,
    });
  const own = await drive("ladder", litePackage, minutes);
  const plain = await drive("plain", null, Math.min(minutes, CONTROL_MINUTES_MAX));
  const { tables, checks, notes } = reportOfDrive(own, plain);
  const [ownAccount, plainAccount] = [own, plain].map((one) => accountOfDrive(one, promised));
  return {
    tables,
    gates: checks.map(({ name, holds, found }) => ({ name, passed: holds, measured: found })),
    notes,
    svg: timelineOf(own, promised, "A drive under faults: what answered each frame, and when"),
    figures: { minutes, own: ownAccount, control: plainAccount, changes: own.changes },
  };
}
