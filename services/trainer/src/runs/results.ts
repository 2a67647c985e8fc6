/** What a job leaves: `model.onnx` and `result.json`, in a place of the run and attempt. */
import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { TrainingRun } from "@tributary/contracts";
import { packageLimits } from "@tributary/inference";
import { reasonOf } from "@tributary/kernel";
import { jobAttemptOf, RESULT_FILE, RESULT_MODEL, type TrainingResult } from "@tributary/training";
import { z } from "zod";

/** They stand in the run's record, which has room for 1 MiB. */
const RESULT_BYTES_MAX = 256 * 1024;

const share = z.number().min(0).max(1);
const frames = z.number().int().min(0);
const measured = z.object({ frames, before: share, after: share });
const harmLine = z.object({
  place: z.enum(["site", "alike", "elsewhere", "replayed"]),
  label: frames.nullable(),
  frames,
  won: frames,
  lost: frames,
  lower: z.number().min(-1).max(1),
  certainty: z.number().min(-1).max(1),
  verdict: z.enum(["shown", "allowed", "harm"]),
});
const resultSchema = z.object({
  formatVersion: z.literal(1),
  blends: z
    .array(
      z.object({
        blend: z.number().min(0).max(1),
        slice: share,
        base: share,
        lines: z.array(harmLine).max(1_000).exactOptional(),
      }),
    )
    .max(1_000)
    .exactOptional(),
  blend: share.exactOptional(),
  nothing: z.string().min(1).max(1_000).exactOptional(),
  accuracies: z
    .array(
      measured.extend({
        slice: z.string().max(256),
        split: z.enum(["TRAIN", "TUNE", "GATE"]),
        classes: z.record(z.string(), measured),
      }),
    )
    .max(1_000)
    .exactOptional(),
  steps: z.number().min(0).exactOptional(),
  loss: z.number().exactOptional(),
  cpuSeconds: z.number().min(0).exactOptional(),
  wallSeconds: z.number().min(0).exactOptional(),
  notes: z.array(z.string().max(1_000)).max(100).exactOptional(),
});

export type ReadResult =
  | { readonly kind: "result"; readonly result: TrainingResult }
  | { readonly kind: "malformed"; readonly reason: string };

export interface Results {
  /** The place's URI, for the job. */
  uriOf(run: TrainingRun): Promise<string>;
  read(run: TrainingRun): Promise<ReadResult>;
  /** Path of the model, for packing; `dir` is for a copy, if there must be one. */
  model(run: TrainingRun, dir: string, signal: AbortSignal): Promise<string>;
}

/** Results */
export const RESULTS = Symbol("Results");

/** In a folder that the backend's jobs reach by the same path. */
export class FolderResults implements Results {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  async uriOf(run: TrainingRun): Promise<string> {
    const dir = this.#folder(run);
    await mkdir(dir, { recursive: true });
    return pathToFileURL(dir).href;
  }

  async read(run: TrainingRun): Promise<ReadResult> {
    const dir = this.#folder(run);
    const sizeOf = (name: string) =>
      stat(join(dir, name)).then(
        (found) => (found.isFile() ? found.size : undefined),
        () => undefined,
      );
    const sizes = new Map([
      [RESULT_MODEL, await sizeOf(RESULT_MODEL)],
      [RESULT_FILE, await sizeOf(RESULT_FILE)],
    ]);
    const refused = checkedSizes(`in ${dir}`, (name) => sizes.get(name));
    return refused ?? parseResult(await readFile(join(dir, RESULT_FILE), "utf8"));
  }

  async model(run: TrainingRun): Promise<string> {
    return join(this.#folder(run), RESULT_MODEL);
  }

  #folder(run: TrainingRun): string {
    return join(this.#dir, run.runId, `${jobAttemptOf(run)}`);
  }
}

/** Null: both files are there, and are not too large. `where` is for people. */
export function checkedSizes(where: string, sizeOf: (name: string) => number | undefined): ReadResult | null {
  for (const [name, bytesMax] of [
    [RESULT_MODEL, packageLimits.fileBytesMax],
    [RESULT_FILE, RESULT_BYTES_MAX],
  ] as const) {
    const bytes = sizeOf(name);
    if (bytes === undefined) return { kind: "malformed", reason: `there is no ${name} ${where}` };
    if (bytes === 0 || bytes > bytesMax) return { kind: "malformed", reason: `${name} ${where} has ${bytes} bytes` };
  }
  return null;
}

export function parseResult(text: string): ReadResult {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { kind: "malformed", reason: `${RESULT_FILE} is not JSON: ${reasonOf(error)}` };
  }
  const parsed = resultSchema.safeParse(json);
  if (parsed.success) return { kind: "result", result: parsed.data };
  const { path, message } = parsed.error.issues[0] ?? { path: [], message: "" };
  return { kind: "malformed", reason: `${RESULT_FILE}: ${path.join(".")}: ${message}` };
}
