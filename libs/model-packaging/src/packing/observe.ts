/** Shows frames to a model through the runtime that devices use, so that a package is measured on what they compute. */
import { readFile } from "node:fs/promises";
import {
  type Inference,
  type InferenceWant,
  type LoadedModel,
  packageFiles,
  parsePreprocessing,
} from "@tributary/inference";
import { Failure } from "@tributary/kernel";
import { loadPackage, type PackageParts, writePackage } from "@tributary/model-store";
import { type OnnxModel, OnnxModelHost } from "@tributary/onnx";
import type { ValidationFrame } from "../validation/frames.ts";
import { encodeJson } from "./documents.ts";
import type { Json } from "./readings.ts";

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

/** Reports every thousand frames how many are done. */
export const countTo = (frames: readonly ValidationFrame[], progress: (line: string) => void) => (done: number) => {
  if (done % 1_000 < 32 || done === frames.length) progress(`  ${done} of ${frames.length}`);
};

/** One model that is shown frames by several readings of its preprocessing, in one process as long as it takes them. */
export class Readings {
  #model: OnnxModel | null = null;

  constructor(
    readonly dir: string,
    readonly parts: PackageParts,
    readonly threads: number,
    readonly progress: (line: string) => void,
  ) {}

  /** `config` null: as described. */
  readonly observe = async (config: Json | null, frames: readonly ValidationFrame[]): Promise<readonly Inference[]> => {
    try {
      if (this.#model === null) this.#model = await this.#load(config);
      else if (config !== null) await this.#model.prepareBy(parsePreprocessing(config));
      return await observe(this.#model, frames, {}, config === null ? countTo(frames, this.progress) : () => {});
    } catch (error) {
      await this.close();
      throw error;
    }
  };

  async close(): Promise<void> {
    await this.#model?.close();
    this.#model = null;
  }

  async #load(config: Json | null): Promise<OnnxModel> {
    const dir = config === null ? this.dir : `${this.dir}-other`;
    const { files } = this.parts;
    if (config !== null) {
      await writePackage(dir, { ...this.parts, files: { ...files, [packageFiles.preprocessor]: encodeJson(config) } });
    }
    return new OnnxModelHost(loadPackage).load(dir, { threads: this.threads });
  }
}
