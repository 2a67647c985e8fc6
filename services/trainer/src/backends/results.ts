/** What a job left: checked before anything is made of it. Fields of other programs are ignored, wrong ones of ours are named. */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Failure, reasonOf } from "@tributary/kernel";
import { RESULT_FILE, RESULT_MODEL, type TrainingResult } from "@tributary/training";
import { z } from "zod";

/** A place of results, by file name. */
export interface ResultStore {
  readonly uri: string;
  /** Undefined: there is no such file. Rejects with `training-result-malformed` when it is larger. */
  get(name: string, bytesMax: number): Promise<Uint8Array | undefined>;
}

export type JobResults = { readonly model: Uint8Array; readonly result: TrainingResult };

const MODEL_BYTES_MAX = 256 << 20;
const RESULT_BYTES_MAX = 4 << 20;

const share = z.number().min(0).max(1);
const count = z.number().int().min(0);
const amount = z.number().min(0);
const accuracy = { frames: count, before: share, after: share };

const resultSchema = z.object({
  formatVersion: z.literal(1),
  blends: z
    .array(z.object({ blend: share, slice: share, base: share }))
    .max(100)
    .optional(),
  blend: share.optional(),
  accuracies: z
    .array(
      z.object({
        slice: z.string().max(1_000),
        split: z.enum(["TRAIN", "TUNE", "GATE"]),
        ...accuracy,
        classes: z.record(z.string(), z.object(accuracy)),
      }),
    )
    .max(100)
    .optional(),
  steps: count.optional(),
  loss: z.number().optional(),
  cpuSeconds: amount.optional(),
  wallSeconds: amount.optional(),
  notes: z.array(z.string().max(1_000)).max(100).optional(),
});

export async function readResults(store: ResultStore): Promise<JobResults> {
  const text = await store.get(RESULT_FILE, RESULT_BYTES_MAX);
  if (text === undefined) throw malformed(store, `${RESULT_FILE} is missing`);
  const result = resultOf(store, text);
  const model = await store.get(RESULT_MODEL, MODEL_BYTES_MAX);
  if (model === undefined) throw malformed(store, `${RESULT_MODEL} is missing`);
  // The first field of an ONNX file is the version of its format, 08 and a small number; packing reads the rest.
  if (model.length < 16 || model[0] !== 0x08) throw malformed(store, `${RESULT_MODEL} is no ONNX file`);
  return { model, result };
}

function resultOf(store: ResultStore, text: Uint8Array): TrainingResult {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(text).toString("utf8"));
  } catch (error) {
    throw malformed(store, `${RESULT_FILE} is not JSON: ${reasonOf(error)}`);
  }
  const parsed = resultSchema.safeParse(json);
  if (parsed.success) return parsed.data as TrainingResult;
  const issues = parsed.error.issues.slice(0, 5).map(({ path, message }) => `${path.join(".")}: ${message}`);
  throw malformed(store, `${RESULT_FILE}: ${issues.join("; ")}`);
}

/** Results in a folder, `file://…`. */
export function folderResults(uri: string): ResultStore {
  const dir = fileURLToPath(uri);
  const store: ResultStore = {
    uri,
    async get(name, bytesMax) {
      const file = await open(join(dir, name), "r").catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw new Failure("training-results-unreadable", "retry", `${uri}/${name}: ${reasonOf(error)}`);
      });
      if (file === undefined) return undefined;
      try {
        const { size } = await file.stat();
        if (size > bytesMax) throw malformed(store, `${name} has ${size} bytes, more than ${bytesMax}`);
        return await file.readFile();
      } finally {
        await file.close();
      }
    },
  };
  return store;
}

const malformed = (store: ResultStore, what: string) =>
  new Failure("training-result-malformed", "give-up", `the results at ${store.uri} are unusable: ${what}`);
