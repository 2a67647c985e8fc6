/** `bench drift`: whether faults are named, whether clean devices are left alone, and how soon changes are detected.
 *
 * Photos are the committed test photos: the first ones make the package, others are a camera's past, others again what it
 * sees later, so that no figure is taken of frames that a codebook was made of. Every frame goes through the model's child. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cameraFaults, faultyJpeg, plainFrame } from "@tributary/model-packaging";
import { loadPackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";
import { openTasks } from "@tributary/tasks";
import { type SampleFrame, sampleFrames } from "@tributary/testing";
import type { Bench, BenchOptions, BenchReport } from "./bench.ts";
import { causesSection, lifeSection } from "./drift/causes/report.ts";
import { cleanDevices, cleanGates, cleanTable, viewSets } from "./drift/clean.ts";
import { DELAY, delayGates, delays, delayTable } from "./drift/delays.ts";
import { losses, lossGates, lossTables } from "./drift/loss.ts";
import { month, monthGates, monthTables } from "./drift/month.ts";
import { Observed, type PhotoSet } from "./drift/observed.ts";
import { type FaultyPackage, packed } from "./drift/packages.ts";
import { Peers } from "./drift/peers.ts";
import { delayPicture } from "./drift/picture.ts";
import { pipelineGates, pipelineTable, pipelineTrials } from "./drift/pipelines.ts";
import { derivedModel, type Json } from "./packing/models.ts";
import { digits } from "./packing/tasks.ts";

const PARTS = ["pipelines", "causes", "life", "clean", "month", "delays", "loss"] as const;
/** Those that have threads of their own: before the rest, not beside it. */
const THREADED: readonly Part[] = ["month", "loss", "life", "causes"];
type Part = (typeof PARTS)[number];

const EDGE = fileURLToPath(new URL("../../../models/edge-resnet8/", import.meta.url));
const sizes = {
  full: {
    photos: 1_000,
    pipelineSeeds: 10,
    trials: 1,
    lifeCameras: 72,
    devices: 1_000,
    windows: 1_440,
    cameras: 400,
    days: 30,
    seeds: 10,
    lossRuns: 300,
  },
  quick: {
    photos: 400,
    pipelineSeeds: 3,
    trials: 1,
    lifeCameras: 36,
    devices: 100,
    windows: 720,
    cameras: 40,
    days: 10,
    seeds: 4,
    lossRuns: 60,
  },
  long: {
    photos: 1_000,
    pipelineSeeds: 10,
    trials: 3,
    lifeCameras: 504,
    devices: 1_000,
    windows: 1_440,
    cameras: 400,
    days: 30,
    seeds: 10,
    lossRuns: 300,
  },
} as const;
type Size = (typeof sizes)[keyof typeof sizes];

/** One of the bench's parts. */
type Section = Pick<BenchReport, "tables" | "gates" | "figures" | "svg">;

export const drift: Bench = {
  name: "drift",
  summary:
    "faults named, clean devices not accused, and delays of detection beside Evidently, KS, ADWIN and Page-Hinkley",
  details: `Parts, of which --only chooses some:
  pipelines  faults of preprocessing by Pillow and NumPy, ±2/255 noise on the resized pixels, through the model's child: named by
             the package's codebook; the sample model, and two with two classes
  causes     40 faults, weather and changes of mix by a generator that was written without the detector, of which half are in no codebook, on the
             tasks of lab/tasks (--tasks; those held out only with "all"): is the cause right, is the name, is anybody accused who is well
  life       days and nights, weather, scenes, own mixes: verdicts of a clean fleet (dayParts 8), and hours until a real change is seen beside
  clean      ${sizes.full.devices} devices with their own classes and views for a day, windows of 60 and of 3 frames; beside Evidently's PSI
  month      ${sizes.full.days} simulated days of ${sizes.full.cameras * 20} streams with daily cycles and scene changes; what cycles and changes are no drift
  delays     windows until an alarm, and false alarms, beside PSI (Evidently), KS (scipy), ADWIN and Page-Hinkley (river), each with
             its defaults, on the same windows of ${DELAY.frames} frames after ${DELAY.baseline} of the camera's past; ours at the bar of ${DELAY.fleetStreams} streams
  loss       losses claimed where nothing changed, by size of the validation set, classes, mixes and propensities, looked at after each
             labelled frame; strange labels; frames until a true loss of 5, 10 and 20 points; the former rule beside
Gates: every one of at least 20 faults of preprocessing named in every run and unknown ones not (with two classes: 95 % of runs, occlusion
not); at most 2 % wrong causes, 5 % wrong names; at most one verdict in a month of 500 clean cameras, no training; no clean device accused; at most one alarm in the month; of the delays at least 95 % of the
changes detected, and nothing else. Python is installed below .local.`,
  run,
};

async function run({ flags, isLong, progress }: BenchOptions): Promise<BenchReport> {
  const size = isLong ? sizes.long : flags.quick === true ? sizes.quick : sizes.full;
  const parts = partsOf(flags.only);
  const folder = await mkdtemp(join(tmpdir(), "tributary-bench-drift-"));
  try {
    const sections: Partial<Record<Part, Section>> = {};
    if (parts.has("month")) sections.month = await monthSection(size, progress);
    if (parts.has("causes") || parts.has("life")) {
      const tasks = await openTasks(flags.tasks ?? "seen");
      if (parts.has("causes")) sections.causes = await causesSection(tasks, size.trials, progress);
      if (parts.has("life")) sections.life = await lifeSection(tasks, size.lifeCameras, size.days, progress);
    }
    if (parts.has("loss")) sections.loss = await lossSection(size, progress);
    if ([...parts].some((part) => !THREADED.includes(part))) {
      progress("the test photos become JPEGs, as the sample camera makes them");
      const photos = await sampleFrames(3 * size.photos);
      const edge = await edgePackage(folder, photos.slice(0, size.photos), progress);
      if (parts.has("pipelines")) sections.pipelines = await pipelineSection(folder, edge, photos, size, progress);
      Object.assign(sections, await cameraSections(edge, photos.slice(size.photos), parts, size, progress));
    }
    const all = PARTS.flatMap((part) => sections[part] ?? []);
    const svg = all.find((section) => section.svg !== undefined)?.svg;
    return {
      tables: all.flatMap(({ tables }) => tables),
      gates: all.flatMap(({ gates }) => gates),
      figures: Object.fromEntries(Object.entries(sections).map(([part, { figures }]) => [part, figures])),
      ...(svg !== undefined && { svg }),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function partsOf(only: string | undefined): ReadonlySet<Part> {
  if (only === undefined) return new Set(PARTS);
  return new Set(
    only.split(",").map((name) => {
      const part = PARTS.find((known) => known === name);
      if (part === undefined) throw new Error(`--only: there is no part ${name}; there are ${PARTS.join(", ")}`);
      return part;
    }),
  );
}

async function edgePackage(
  folder: string,
  photos: readonly SampleFrame[],
  progress: (line: string) => void,
): Promise<FaultyPackage> {
  const { labels } = await loadPackage(EDGE);
  const model = await readFile(join(EDGE, "model.onnx"));
  const described = JSON.parse(await readFile(join(EDGE, "preprocessor_config.json"), "utf8")) as Json;
  return packed(folder, { name: "edge-resnet8", labels, model, described }, photos, progress);
}

async function pipelineSection(
  folder: string,
  edge: FaultyPackage,
  photos: readonly SampleFrame[],
  size: Size,
  progress: (line: string) => void,
): Promise<Section> {
  const packages = [edge, ...(await twoClassPackages(folder, photos, progress))];
  const trials = [];
  for (const pkg of packages) {
    progress(`faults of preprocessing: ${pkg.manifest.name}`);
    trials.push(await pipelineTrials(pkg, size.pipelineSeeds));
  }
  return {
    tables: trials.map(pipelineTable),
    gates: trials.flatMap((one, i) => pipelineGates(one, i === 0)),
    figures: trials,
  };
}

/** Grey digits, and a model of colours in BGR from -1 to 1. */
async function twoClassPackages(
  folder: string,
  photos: readonly SampleFrame[],
  progress: (line: string) => void,
): Promise<readonly FaultyPackage[]> {
  const task = await digits("digits", "", "edge");
  const classes = { animal: [2, 3, 4, 5, 6, 7], machine: [0, 1, 8, 9] };
  const described = {
    ...{ do_resize: true, size: { height: 32, width: 32 }, resample: 3, do_rescale: true, rescale_factor: 1 / 255 },
    ...{ do_normalize: true, image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5], channel_order: "BGR" },
  };
  const model = derivedModel(await readFile(join(EDGE, "model.onnx")), Object.values(classes), described);
  const machines = photos
    .slice(0, 300)
    .map(({ jpeg, label }) => ({ jpeg, label: classes.machine.includes(label) ? 1 : 0 }));
  return [
    await packed(folder, task, task.photos.slice(0, 150), progress),
    await packed(folder, { name: "machine", labels: Object.keys(classes), model, described }, machines, progress),
  ];
}

/** The parts that watch cameras, on one set of observed frames. */
async function cameraSections(
  edge: FaultyPackage,
  photos: readonly SampleFrame[],
  parts: ReadonlySet<Part>,
  size: Size,
  progress: (line: string) => void,
): Promise<Partial<Record<Part, Section>>> {
  if (!["clean", "delays"].some((part) => parts.has(part as Part))) return {};
  const [past, now] = [photos.slice(0, size.photos), photos.slice(size.photos)];
  const sets: PhotoSet[] = [
    { name: "past", photos: past },
    { name: "now", photos: now },
  ];
  progress("frames with faults and views");
  if (parts.has("delays")) sets.push(...(await faultSets(now)));
  if (parts.has("clean")) sets.push(...(await viewSets(now)));
  const observed = await observe(edge, sets, progress);
  const sections: Partial<Record<Part, Section>> = {};
  if (!parts.has("clean") && !parts.has("delays")) return sections;
  const peers = await Peers.start(observed);
  try {
    if (parts.has("delays")) {
      progress("delays");
      const names = delayedFaults.map(({ name }) => name);
      const found = await delays(observed, peers, names, size.seeds, progress);
      const svg = delayPicture(found);
      sections.delays = { tables: [delayTable(found)], gates: delayGates(found), figures: found, svg };
    }
    if (parts.has("clean")) {
      progress("clean devices");
      const found = await cleanDevices(observed, peers, size.devices, size.windows, progress);
      sections.clean = { tables: [cleanTable(found)], gates: cleanGates(found), figures: found };
    }
  } finally {
    await peers.stop();
  }
  return sections;
}

/** Of the faults that packing records, those that features of the whole picture show. */
const DELAYED: readonly string[] = [
  ...["dark", "glare", "haze", "warm-light", "out-of-focus", "sensor-noise", "hard-compression", "low-resolution"],
  ...["channels-swapped", "greyscale", "upside-down"],
];
const delayedFaults = cameraFaults.filter(({ name }) => DELAYED.includes(name));
const DELAYED_SEVERITY = 0.45;

const faultSets = (photos: readonly SampleFrame[]): Promise<readonly PhotoSet[]> =>
  Promise.all(
    delayedFaults.map(async (fault) => ({
      name: `now/${fault.name}`,
      photos: await Promise.all(
        photos.map(async ({ jpeg, label }, i) => ({
          jpeg: await faultyJpeg(await plainFrame(jpeg, false), fault, DELAYED_SEVERITY, 1, i),
          label,
        })),
      ),
    })),
  );

async function observe(
  edge: FaultyPackage,
  sets: readonly PhotoSet[],
  progress: (line: string) => void,
): Promise<Observed> {
  const host = new OnnxModelHost(loadPackage);
  const models = await Promise.all([1, 2].map(() => host.load(edge.dir, { threads: 1 })));
  try {
    return await Observed.of(models, edge.referenceSketch, sets, progress);
  } finally {
    await Promise.all(models.map((model) => model.close()));
  }
}

async function monthSection(size: Size, progress: (line: string) => void): Promise<Section> {
  progress(`${size.days} days of ${size.cameras * 2} cameras`);
  const found = await month(size.cameras, size.days, progress);
  return { tables: monthTables(found), gates: monthGates(found), figures: found };
}

async function lossSection(size: Size, progress: (line: string) => void): Promise<Section> {
  const found = await losses(size.lossRuns, progress);
  return { tables: lossTables(found), gates: lossGates(found), figures: found };
}
