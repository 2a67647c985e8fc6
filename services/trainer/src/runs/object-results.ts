/** What jobs leave in a bucket of S3: `RUN/ATTEMPT/model.onnx` and `result.json`, for jobs that reach no folder of the trainer. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ObjectStore } from "@tributary/blob-store";
import type { TrainingRun } from "@tributary/contracts";
import { jobAttemptOf, RESULT_FILE, RESULT_MODEL } from "@tributary/training";
import { checkedSizes, parseResult, type ReadResult, type Results } from "./results.ts";

export class ObjectResults implements Results {
  readonly #objects: ObjectStore;

  constructor(objects: ObjectStore) {
    this.#objects = objects;
  }

  async uriOf(run: TrainingRun): Promise<string> {
    return this.#objects.uri(prefixOf(run));
  }

  /** Rejects with a Failure to retry while the bucket cannot be reached. */
  async read(run: TrainingRun): Promise<ReadResult> {
    const prefix = prefixOf(run);
    const sizes = new Map<string, number>();
    for await (const { key, bytes } of this.#objects.list(`${prefix}/`)) sizes.set(key, bytes);
    const refused = checkedSizes(`in ${this.#objects.uri(prefix)}`, (name) => sizes.get(`${prefix}/${name}`));
    if (refused !== null) return refused;
    return parseResult(Buffer.from(await this.#objects.get(`${prefix}/${RESULT_FILE}`)).toString());
  }

  async model(run: TrainingRun, dir: string, signal: AbortSignal): Promise<string> {
    const path = join(dir, RESULT_MODEL);
    const bytes = await this.#objects.get(`${prefixOf(run)}/${RESULT_MODEL}`);
    await writeFile(path, bytes, { signal });
    return path;
  }
}

const prefixOf = (run: TrainingRun): string => `${run.runId}/${jobAttemptOf(run)}`;
