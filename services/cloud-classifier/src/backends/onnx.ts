/**
 * The local backend: one verified package in one child process, under supervision (supervised.ts). A child that does not
 * answer in time is ended by its host, and supervision restarts it.
 */
import type { InferenceResult, LoadedModel, ModelHost } from "@tributary/inference";
import { type Backoff, type Clock, linkedSignal, type Random, reasonOf, timerMs } from "@tributary/kernel";
import { calibrated } from "../calibrated.ts";
import type { CallContext, CloudBackend, CloudFrame, CloudOutcome } from "../cloud-backend.ts";
import { type ChildEvents, orAborted, Supervised } from "./supervised.ts";

export type OnnxBackendOptions = {
  readonly host: ModelHost;
  readonly packageDir: string;
  readonly threads: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: ChildEvents;
  readonly backoff?: Backoff;
};

export class OnnxBackend implements CloudBackend {
  readonly #clock: Clock;
  readonly #models: Supervised<LoadedModel>;

  private constructor(clock: Clock, models: Supervised<LoadedModel>) {
    this.#clock = clock;
    this.#models = models;
  }

  /** Rejects when the package cannot be loaded at all. */
  static async start({ host, packageDir, threads, ...rest }: OnnxBackendOptions): Promise<OnnxBackend> {
    const load = () => host.load(packageDir, { threads });
    return new OnnxBackend(rest.clock, await Supervised.start({ load, ...rest }));
  }

  ready(): boolean {
    return this.#models.current !== undefined;
  }

  async classify(batch: readonly CloudFrame[], context: CallContext): Promise<readonly CloudOutcome[]> {
    const all = (outcome: CloudOutcome) => batch.map(() => outcome);
    const model = this.#models.current ?? (await this.#whenThere(context));
    if (model === undefined) {
      return all({ kind: "failed", code: "backend-unavailable", message: "the model is not loaded", again: false });
    }
    try {
      const results = await orAborted(model.inferBatch(batch.map((frame) => frame.jpeg)), context.signal);
      return results.map((result) => outcomeOf(model, result));
    } catch (error) {
      if (!context.signal.aborted) this.#models.seenDead(model);
      return all({ kind: "failed", code: "model-host-exited", message: reasonOf(error), again: "alone" });
    }
  }

  async close(): Promise<void> {
    await this.#models.close();
  }

  async #whenThere({ deadline, signal }: CallContext): Promise<LoadedModel | undefined> {
    const late = linkedSignal(signal);
    const timer = setTimeout(() => late.abort(), timerMs(deadline - this.#clock.now()));
    const model = await this.#models.whenThere(late.signal);
    clearTimeout(timer);
    late.unlink();
    return model;
  }
}

function outcomeOf(model: LoadedModel, result: InferenceResult): CloudOutcome {
  if (!result.ok) {
    const { code, message } = result;
    return code === "model-busy"
      ? { kind: "failed", code, message, again: "alone" }
      : { kind: "refused", code, message };
  }
  const odd = result.inference.logits.findIndex((value) => !Number.isFinite(value));
  if (odd !== -1) {
    const message = `value ${odd} is ${result.inference.logits[odd]}`;
    return { kind: "failed", code: "answer-not-finite", message, again: false };
  }
  const { labelIndex, confidence, margin } = calibrated(result.inference.logits, model.temperature);
  const label = model.labels[labelIndex];
  if (label === undefined) {
    return { kind: "failed", code: "label-unknown", message: `no label ${labelIndex}`, again: false };
  }
  return { kind: "answered", label, confidence, margin, modelDigest: model.digest };
}
