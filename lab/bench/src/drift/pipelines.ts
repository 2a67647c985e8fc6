/** Faults of preprocessing made by another implementation, Pillow and NumPy, and named by the codebook of the package. */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type NamedFault, nearestPipelineFault } from "@tributary/drift";
import type { FaultCodebook } from "@tributary/inference";
import { loadPackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";
import type { Gate, Table } from "../bench.ts";
import type { FaultyPackage } from "./packages.ts";
import { programOf, pythonOfPeers } from "./peers.ts";

const NAMED_MIN = 20;
const MOST = 0.95;
const UNKNOWN = "unknown-";
const OCCLUDED = "unknown-occluded";

export type PipelineTrials = {
  readonly package: string;
  /** Golden frames of the codebook. */
  readonly frames: number;
  readonly seeds: number;
  readonly faults: readonly {
    readonly fault: string;
    readonly isInCodebook: boolean;
    /** What was named, seed by seed; null: nothing. */
    readonly named: readonly (NamedFault | null)[];
    /** Trials named rightly with the first 1, 2, 4 ... golden frames. */
    readonly rightByFrames: Readonly<Record<string, number>>;
  }[];
};

export async function pipelineTrials(pkg: FaultyPackage, seeds: number): Promise<PipelineTrials> {
  const folder = await mkdtemp(join(tmpdir(), "tributary-bench-drift-"));
  const model = await new OnnxModelHost(loadPackage).load(pkg.dir, { threads: 1 });
  try {
    const names = JSON.parse(await outputOf([programOf("pipelines.py"), pkg.dir, folder, String(seeds)])) as string[];
    const faults: PipelineTrials["faults"][number][] = [];
    for (const fault of names) {
      const tensors = tensorsOf(await readFile(join(folder, `${fault}.f32`)), seeds * pkg.faults.frames);
      const results = await model.inferTensors(tensors);
      const logits = results.map((result) => (result.ok ? Array.from(result.inference.logits) : []));
      faults.push(trialsOf(pkg, fault, logits));
    }
    return { package: pkg.manifest.name, frames: pkg.faults.frames, seeds, faults };
  } finally {
    await model.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function trialsOf(pkg: FaultyPackage, fault: string, logits: readonly (readonly number[])[]) {
  const { faults, golden } = pkg;
  const right = golden.frames.map((frame) => frame.logits);
  const bySeed = Array.from({ length: logits.length / faults.frames }, (_, seed) =>
    logits.slice(seed * faults.frames, (seed + 1) * faults.frames),
  );
  const expected = expectedOf(fault, faults);
  const namedBy = (frames: number) =>
    bySeed.map((own) => nearestPipelineFault(firstFrames(faults, frames), right, own.slice(0, frames).flat()));
  const counts: Record<string, number> = {};
  for (let frames = 1; frames <= faults.frames; frames *= 2) {
    const names = namedBy(frames).map((named) => named?.name ?? null);
    counts[frames] = names.filter((name) => name === expected || (name !== null && name === alike[fault])).length;
  }
  return { fault, isInCodebook: expected !== null, named: namedBy(faults.frames), rightByFrames: counts };
}

/** Two faults that are one. With an odd ratio of sizes the pixel in the middle of a step, which Pillow's nearest takes, is also what
 * bilinear takes that does not antialias. A picture rescaled twice is nearly black. */
const alike: Readonly<Record<string, string>> = { nearest: "not-antialiased", "black-picture": "rescaled-twice" };

/** What is to be named: nothing for the right pipeline, unknown faults, and faults that leave this model's answers as they are. */
function expectedOf(fault: string, { pipeline }: FaultCodebook): string | null {
  const name = fault.replace(/ \(.*\)$/, "");
  return pipeline.some((known) => known.name === name) ? name : null;
}

const firstFrames = (faults: FaultCodebook, frames: number): FaultCodebook => ({
  ...faults,
  frames,
  pipeline: faults.pipeline.map(({ name, logits }) => ({ name, logits: logits.slice(0, frames) })),
});

function tensorsOf(bytes: Buffer, count: number): readonly Float32Array[] {
  const floats = new Float32Array(new Uint8Array(bytes).buffer);
  const size = floats.length / count;
  return Array.from({ length: count }, (_, i) => floats.slice(i * size, (i + 1) * size));
}

export function pipelineTable(trials: PipelineTrials): Table {
  const byFrames = Object.keys(trials.faults[0]?.rightByFrames ?? {});
  return {
    title: `Faults of preprocessing by Pillow and NumPy, ${trials.package}: right of ${trials.seeds} with so many golden frames`,
    columns: ["fault", "in the codebook", ...byFrames, "distance", "runner-up", "its distance", "otherwise named"],
    rows: trials.faults.map(({ fault, isInCodebook, named, rightByFrames }) => {
      const first = named.find((one) => one !== null);
      const others = named.filter((one) => one !== null && !fault.startsWith(one.name)).map((one) => one?.name);
      return [
        fault,
        isInCodebook ? "yes" : "no",
        ...byFrames.map((frames) => rightByFrames[frames] ?? 0),
        first?.distance.toFixed(3) ?? "-",
        first?.runnerUp ?? "-",
        first?.runnerUpDistance.toFixed(3) ?? "-",
        [...new Set(others)].join(", ") || "-",
      ];
    }),
  };
}

/** `isAll`: every run; else most of them, as a few answers of two classes cannot distinguish all faults. */
export function pipelineGates(
  { package: name, faults, seeds, frames }: PipelineTrials,
  isAll: boolean,
): readonly Gate[] {
  const known = faults.filter(({ isInCodebook }) => isInCodebook);
  const right = known.reduce((sum, { rightByFrames }) => sum + (rightByFrames[frames] ?? 0), 0);
  const runs = known.length * seeds;
  const rest = faults.filter(
    ({ fault }) => fault === "right" || fault === OCCLUDED || (isAll && fault.startsWith(UNKNOWN)),
  );
  const wrong = rest.flatMap(({ named }) => named).filter((one) => one !== null).length;
  const share = isAll ? 1 : MOST;
  return [
    {
      name: `${name}: of at least ${NAMED_MIN} faults of preprocessing ${100 * share} % of runs are named rightly, ${frames} golden frames`,
      passed: right >= share * runs && known.length >= NAMED_MIN,
      measured: `${right} of ${runs}, ${known.length} faults`,
    },
    {
      name: `${name}: the right pipeline and ${isAll ? "unknown faults" : "occluded pictures"} are not named`,
      passed: wrong === 0,
      measured: `${wrong} of ${rest.length * seeds} named`,
    },
  ];
}

async function outputOf(args: readonly string[]): Promise<string> {
  const child = spawn(pythonOfPeers(), args, { stdio: ["ignore", "pipe", "inherit"] });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once("close", resolve).once("error", reject),
  );
  if (code !== 0) throw new Error(`${args[0]} ended with ${code}`);
  return Buffer.concat(chunks).toString();
}
