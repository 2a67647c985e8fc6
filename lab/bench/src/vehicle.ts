/** `bench vehicle`: answers within the deadline, or SAFE, on a vehicle's computer, while everything that may happen to it and its camera does; measured by the
 * camera and by a reader, and beside agents that keep no such promise. */
import { join } from "node:path";
import {
  accountOfDrive,
  brokenScenes,
  ControlGroup,
  cameraFaults,
  computerFaults,
  controlOf,
  type Drive,
  type DriveReport,
  type Fault,
  groupFaults,
  idleChecks,
  loadFaults,
  promised,
  reportOfDrive,
  roadFrames,
  runDrive,
  timelineOf,
  usualFaults,
  violationsOf,
} from "@tributary/demo/vehicles";
import { edgePackage, litePackage, runDir } from "@tributary/stack";
import type { Bench, BenchOptions, BenchReport } from "./bench.ts";

const MINUTES = 12;
/** Enough for faults that are not rare events. */
const SHORT_MINUTES = 3;
const parts = ["computer", "camera", "load", "group", "control"] as const;
type Part = (typeof parts)[number];
/** What an agent without deadlines must be silent under, and what a driver that trusts must fail at. */
const SILENT = ["full model stopped", "full model killed"];
const TRUSTED = ["nine JPEGs in ten cut", "the agent stopped for 400 ms, every 5 s"];

export const vehicle: Bench = {
  name: "vehicle",
  summary:
    "answers within 50 ms at 20 frames a second, or SAFE, under faults of a vehicle's computer and camera, by a reader of its own",
  details: `Drives with real faults of real processes. Which frame was captured when is reported by the camera, a program of its own, and when its answer came by
another that reads answers as a vehicle would: of the agent's own figures only the reader's watchdog uses one, as a reader's has to. What is not answered by a model within 50 ms of its capture is a missed frame, and a frame that
breaks (19,20) needs SAFE by then: signalled, or by the reader's watchdog, which docs/safety-case.md demands: one and a half periods and a deadline after the capture
of the newest frame that a model answered in time.
  computer  --minutes (${MINUTES}; from 25 on with the ladder's usual times): the full model stopped, killed, at half speed; four busy loops beside it; memory pressure; a download; a switch of models; a full
            disk; no network; heat; the policy reloaded (the agent reads its file once, as it starts); both models and the spare killed every 5 s
  camera    nine JPEGs in ten cut; frozen with a running clock; noise in the dark; jumps of its stamps and of the agent's wall clock (Date in its
            process, lab/sabotage/wrong-clock.mjs; the machine's clock is left alone); 60 frames a second
  load      16 busy loops; with --realtime 1 to 16 of them at the agent's own priority, which no program can keep a deadline beside; the agent stopped for 400 ms
  group     the agent as a container starts it in a control group with 80, 50 and 30 % of a core, version 1 and 2, whichever the kernel has
  control   the agent without deadlines under faults of the computer, and one whose driver trusts: time starts when a frame is read, and a refused frame is none
Frames are of a real road clip and are decoded as such; they have no labels that the models know, so accuracy is not measured here: what LITE costs in accuracy is in models/edge-lite.
A full disk, memory pressure and control groups need root; without it they are left out, and the report says so.
With --realtime the agent has cores of its own and puts itself into Linux's real-time class, as on a vehicle, and camera, reader and sleepers are ahead of it. Without it nothing is in that class, as two cores full of such loops stop a
virtual machine: the agent shares all cores, at a niceness of -10.
A sleeper on each core measures how late the machine itself was. That time is taken off, and printed beside each gate's figure; a phase in which it was longer than the deadline on end is not measured: neither
passed nor failed. Under loads nothing is taken off.
Gates: (19,20) kept by answers under each fault that leaves a model and a camera; kept, or SAFE in time, under all but loads, and after them; under loads that, or the agent says that it
was too late for that frame; SAFE signalled within 3 s of a camera that does not show the present, lasting as long, and never where (19,20) is kept by models; FULL again after each fault; at most one change of the level, and one moment at which
the agent says that it is too late, in ten idle minutes, but for those that the machine's standstill explains; each fault did happen, and the camera kept its rate; both controls fail under each of their faults.`,
  run,
};

type Run = {
  readonly name: string;
  readonly drive: Drive;
  readonly report: Pick<DriveReport, "tables" | "checks"> & Partial<DriveReport>;
};

async function run({ flags, progress }: BenchOptions): Promise<BenchReport> {
  const only = partsIn(flags.only);
  const minutes = Number(flags.minutes ?? MINUTES);
  const dir = join(runDir, "../vehicle");
  const road = roadFrames(dir);
  const scenes = await brokenScenes(dir, road.folder);
  progress(`${road.frames} frames of the road, ${road.size}, ${(road.meanBytes / 1_024).toFixed(0)} KiB each`);
  const realtime = flags.realtime === true;
  const drive = (name: string, of: Partial<Parameters<typeof runDrive>[0]>) =>
    runDrive({
      dir: join(dir, name),
      full: edgePackage,
      lite: litePackage,
      pictures: road.folder,
      scenes,
      realtime,
      minutes: Math.min(minutes, SHORT_MINUTES),
      log: (line) => progress(`${name}: ${line}`),
      signal: new AbortController().signal,
      ...of,
    });
  const runs: Run[] = [];
  const notes: string[] = [];
  const reported = (name: string, own: Drive) => {
    const report = reportOfDrive(own, name);
    runs.push({ name, drive: own, report });
    notes.push(...report.notes);
  };
  const control = (name: string, own: Drive, fails: "silent" | "late") =>
    runs.push({ name, drive: own, report: controlOf(name, own, fails) });
  if (only.has("computer"))
    reported("computer", await drive("computer", { faults: computerFaults, recovers: true, minutes }));
  if (only.has("camera"))
    reported("camera", await drive("camera", { faults: cameraFaults, recovers: true, sabotage: "wrong-clock" }));
  if (only.has("load")) reported("load", await drive("load", { faults: loadFaults, recovers: true }));
  for (const version of only.has("group") ? ([1, 2] as const) : []) {
    const group = ControlGroup.make("cpu", version);
    if (typeof group === "string") {
      notes.push(`Left out: control groups of version ${version}: ${group}.`);
      continue;
    }
    try {
      const faults = groupFaults(version, group);
      reported(`group v${version}`, await drive(`group-v${version}`, { faults, cpu: group, recovers: true }));
    } finally {
      group.remove();
    }
  }
  if (only.has("control")) {
    const silent = named(SILENT, usualFaults);
    control("without deadlines", await drive("plain", { lite: null, faults: silent, minutes: 1 }), "silent");
    const faults = named(TRUSTED, [...cameraFaults, ...loadFaults]);
    control("trusting driver", await drive("trusting", { faults, sabotage: "trusting-driver", minutes: 1 }), "late");
  }
  if (runs.length === 0) throw new Error(`nothing to measure here: ${notes.join(" ")}`);
  return reportOf(runs, notes, minutes);
}

function named(names: readonly string[], faults: readonly Fault[]): readonly Fault[] {
  const own = faults.filter(({ name }) => names.includes(name));
  if (own.length !== names.length) throw new Error(`not all of these are faults: ${names.join("; ")}`);
  return own;
}

function partsIn(text: string | undefined): ReadonlySet<Part> {
  const wanted = text?.split(",") ?? parts;
  const unknown = wanted.find((name) => !parts.some((part) => part === name));
  if (unknown !== undefined) throw new Error(`--only ${unknown}: there are ${parts.join(", ")}`);
  return new Set(wanted as readonly Part[]);
}

function reportOf(runs: readonly Run[], notes: readonly string[], minutes: number): BenchReport {
  const first = runs[0];
  const underTest = runs.filter(({ report }) => "notes" in report).map(({ drive }) => drive);
  const idle = underTest.length === 0 ? { checks: [], notes: [] } : idleChecks(underTest);
  return {
    tables: runs.flatMap(({ report }) => report.tables),
    gates: [...runs.flatMap(({ report }) => report.checks), ...idle.checks].map(({ name, holds, found }) => ({
      ...{ name, passed: holds, measured: found },
    })),
    notes: [...new Set([...notes, ...idle.notes])],
    ...(first && { svg: timelineOf(first.drive, promised, `${first.name}: what answered each frame, and when`) }),
    figures: {
      minutes,
      drives: runs.map(({ name, drive }) => ({
        name,
        phases: accountOfDrive(drive, promised),
        violations: violationsOf(drive, promised),
        changes: drive.changes,
        skipped: drive.skipped,
      })),
    },
  };
}
