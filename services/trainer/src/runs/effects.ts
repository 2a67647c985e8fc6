/**
 * What a training does outside of Kafka, and what became of it as the core's outcomes name it: nothing is thrown.
 *
 * E1. Idempotent by run and attempt: repeated, also by another instance, an effect changes nothing more. What is listed at the
 *     registry has the digest that the run's record names.
 * E2. What does not answer is an outage, and costs no attempt; what is refused by name ends the run with that name.
 */
import { ApiFailure } from "@tributary/api";
import type { Dataset, TrainingRun } from "@tributary/contracts";
import { Failure, reasonOf } from "@tributary/kernel";
import {
  type Effect,
  type JobReport,
  jobAttemptOf,
  type Outcome,
  recipeFor,
  type TrainingJob,
} from "@tributary/training";
import type { JobPlaces, TrainingBackend } from "../backends/backend.ts";
import type { Datasets } from "../datasets/port.ts";
import type { ModelRegistry } from "../registry/blobs.ts";
import { extendValidation } from "./extend-validation.ts";
import { frozenOf } from "./frozen.ts";
import type { Packer } from "./packer.ts";
import type { Results } from "./results.ts";

/** `datasets`: whose records are written with the outcome. */
export type Performed = { readonly outcome: Outcome; readonly datasets?: readonly Dataset[] };

export interface Effects {
  perform(run: TrainingRun, effect: Effect, signal: AbortSignal): Promise<Performed>;
  /** Why no training of the model could start, with what would do; null: nothing is known to be missing. */
  lacks(model: string, signal: AbortSignal): Promise<string | null>;
  /** Overrides the gate for the run's candidate, in a person's name. Rejects with a Failure. */
  letPass(run: TrainingRun, by: string, signal: AbortSignal): Promise<void>;
}

export type TrainerEffectsOptions = {
  readonly datasets: Datasets;
  readonly backend: TrainingBackend;
  readonly registry: ModelRegistry;
  readonly registryUrl: string;
  readonly packer: Packer;
  readonly results: Results;
};

const BY = "trainer";
/** Half of them make a package, the others its gate. */
const VALIDATION_FRAMES_MIN = 200;
const CHALLENGER = "challenger";

export class TrainerEffects implements Effects {
  readonly #options: TrainerEffectsOptions;

  constructor(options: TrainerEffectsOptions) {
    this.#options = options;
  }

  async perform(run: TrainingRun, effect: Effect, signal: AbortSignal): Promise<Performed> {
    try {
      return await this.#perform(run, effect, signal);
    } catch (error) {
      return { outcome: outcomeOf(error) };
    }
  }

  /** A registry that does not answer keeps nobody from asking: labels are not counted before it does. */
  async lacks(model: string, signal: AbortSignal): Promise<string | null> {
    const { datasets } = this.#options;
    return datasets.baseLacks(model) ?? (await this.#whatGateLacks({ model }, signal).catch(() => null));
  }

  async letPass({ model, candidateVersion, runId }: TrainingRun, by: string, signal: AbortSignal): Promise<void> {
    const body = { by, reason: `training ${runId} was resumed` };
    await this.#options.registry.models.force({ name: model, version: candidateVersion, body }, { signal });
  }

  async #perform(run: TrainingRun, effect: Effect, signal: AbortSignal): Promise<Performed> {
    const { datasets, backend, packer, registry } = this.#options;
    switch (effect.kind) {
      case "count-labels": {
        const missing = await this.#whatGateLacks(run, signal);
        if (missing !== null) return { outcome: { kind: "refused", reason: missing } };
        const count = await datasets.count(run, signal);
        if ("refused" in count) return { outcome: { kind: "refused", reason: count.refused } };
        return { outcome: { kind: "labels", count } };
      }
      case "freeze": {
        const frozen = await datasets.freeze(run, signal);
        if ("refused" in frozen) return { outcome: { kind: "refused", reason: frozen.refused } };
        const { dataset, base } = frozen;
        const { version: datasetVersion, frames } = dataset;
        const records = base === null ? [dataset] : [base, dataset];
        return { outcome: { kind: "frozen", datasetVersion, frames }, datasets: records };
      }
      case "start-job": {
        const { job, places } = await this.#job(run);
        const jobId = await backend.start(job, jobAttemptOf(run), places, signal);
        return { outcome: { kind: "job-started", jobId, backend: backend.name } };
      }
      case "poll-job":
        return { outcome: { kind: "job", report: await this.#report(run, signal) } };
      case "stop-job":
        await backend.cancel(run.jobId, signal);
        return { outcome: { kind: "job-stopped" } };
      case "pack":
        return { outcome: { kind: "packed", ...(await packer.pack(run, signal)) } };
      case "push":
        return { outcome: await this.#push(run, signal) };
      case "withdraw":
        return { outcome: await this.#withdraw(run, signal) };
      case "extend-validation": {
        const frames = await extendValidation(registry, run, signal);
        return { outcome: { kind: "validation-extended", frames } };
      }
    }
  }

  /** Before people label for it: a candidate that cannot be packed and judged is not worth their time. */
  async #whatGateLacks({ model }: Pick<TrainingRun, "model">, signal: AbortSignal): Promise<string | null> {
    const { validation } = this.#options.registry;
    const set = await validation.describe({ model }, { signal }).catch((error: unknown) => {
      if (error instanceof ApiFailure && error.status === 404) return null;
      throw error;
    });
    const advice = `tributary validation push ${model} FOLDER, with at least ${VALIDATION_FRAMES_MIN} frames; then start it again`;
    if (set === null || set.digest === null) return `no validation frames were pushed for ${model}: ${advice}`;
    if ((set.frames ?? 0) >= VALIDATION_FRAMES_MIN) return null;
    return `${set.frames} validation frames of ${model} are too few to pack on one half and judge on the other: ${advice}`;
  }

  async #job(run: TrainingRun): Promise<{ readonly job: TrainingJob; readonly places: JobPlaces }> {
    const { datasets, registryUrl, results } = this.#options;
    const { runId, model, parentDigest, datasetVersion, slice } = run;
    const { dataset, base } = frozenOf(datasets, run);
    const trainFrames = ({ parts }: Dataset) =>
      parts.filter(({ split }) => split === "TRAIN").reduce((sum, { frames }) => sum + frames, 0);
    return {
      job: {
        runId,
        model,
        parentDigest,
        dataset: `${model}/${datasetVersion}`,
        baseDataset: `${model}/${base.version}`,
        slice,
        seed: runId,
        recipe: recipeFor(trainFrames(dataset), trainFrames(base)),
      },
      places: {
        parent: new URL(`blobs/sha256/${parentDigest}`, `${registryUrl.replace(/\/$/, "")}/`).href,
        datasets: datasets.remote,
        datasetMd5: dataset.md5,
        baseMd5: base.md5,
        results: await results.uriOf(run),
      },
    };
  }

  async #report(run: TrainingRun, signal: AbortSignal): Promise<JobReport> {
    const { backend, results } = this.#options;
    const state = await backend.status(run.jobId, signal);
    if (state.kind !== "succeeded") return state;
    const found = await results.read(run);
    return found.kind === "result" ? { kind: "succeeded", result: found.result } : found;
  }

  /** E1. The alias is given last: the gate then sees a version that is listed. */
  async #push(run: TrainingRun, signal: AbortSignal): Promise<Outcome> {
    const { registry } = this.#options;
    const { model: name, candidateVersion: version, candidateDigest: manifestDigest } = run;
    await registry.models.push({ body: { manifestDigest, by: BY } }, { signal });
    signal.throwIfAborted();
    await registry.models.alias({ name, alias: CHALLENGER, body: { version, by: BY } }, { signal });
    return { kind: "pushed" };
  }

  /** Only of this run's candidate. */
  async #withdraw({ model: name, candidateVersion }: TrainingRun, signal: AbortSignal): Promise<Outcome> {
    const { registry } = this.#options;
    const { items } = await registry.models.list({ name, alias: CHALLENGER }, { signal });
    if (items.some(({ version }) => version === candidateVersion)) {
      await registry.models.unalias({ name, alias: CHALLENGER, body: { by: BY } }, { signal });
    }
    return { kind: "withdrawn" };
  }
}

/** E2 */
function outcomeOf(error: unknown): Outcome {
  const reason = reasonOf(error);
  if (!(error instanceof Failure)) return { kind: "failed", reason, isRetryable: true };
  if (error.code === "task-died") return { kind: "failed", reason, isRetryable: true };
  const isServers = error instanceof ApiFailure && (error.status ?? 0) >= 500;
  return error.advice === "retry" || isServers
    ? { kind: "outage", reason }
    : { kind: "failed", reason, isRetryable: false };
}
