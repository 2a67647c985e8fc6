/** Shows frames to a model through the runtime that devices use, so that a package is measured on what they compute. */
import { readFile } from "node:fs/promises";
import type { Inference, InferenceWant, LoadedModel } from "@tributary/inference";
import { Failure } from "@tributary/kernel";
import type { ValidationFrame } from "./validation-frames.ts";

const BATCH = 32;

export async function observe(
  model: LoadedModel,
  frames: readonly ValidationFrame[],
  want: Partial<InferenceWant>,
  progress: (done: number) => void,
): Promise<readonly Inference[]> {
  const inferences: Inference[] = [];
  for (let from = 0; from < frames.length; from += BATCH) {
    const batch = frames.slice(from, from + BATCH);
    const jpegs = await Promise.all(batch.map(({ path }) => readFile(path)));
    const results = await model.inferBatch(jpegs, want);
    results.forEach((result, i) => {
      if (!result.ok) throw new Failure(result.code, "ask-a-person", `${batch[i]?.path}: ${result.message}`);
      inferences.push(result.inference);
    });
    progress(inferences.length);
  }
  return inferences;
}
