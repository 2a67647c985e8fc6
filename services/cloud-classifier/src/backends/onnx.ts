/**
 * The local backend: one verified package in one child process.
 *
 * O1. A child that dies is loaded again with backoff; until then calls wait, but never beyond their deadline.
 * O2. A child that is asked and answers nothing for too long is ended by its host; O1 brings another.
 */
import type { InferenceResult, LoadedModel, ModelHost } from "@tributary/inference";
import { type Backoff, backoffMs, type Clock, type Random, reasonOf } from "@tributary/kernel";
import { calibrated } from "../calibrated.ts";
import type { CallContext, CloudBackend, CloudFrame, CloudOutcome } from "../cloud-backend.ts";

export type OnnxBackendEvents = {
  loaded(event: { readonly digest: string; readonly pid: number; readonly attempt: number }): void;
  lost(event: { readonly digest: string; readonly exitCode: number | null }): void;
  loadFailed(event: { readonly reason: string; readonly retryMs: number }): void;
};

export type OnnxBackendOptions = {
  readonly host: ModelHost;
  readonly packageDir: string;
  readonly threads: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: OnnxBackendEvents;
  readonly backoff?: Backoff;
};

const RELOAD_BACKOFF: Backoff = { minMs: 100, maxMs: 30_000 };
/** A child that lived this long was healthy: its death starts the backoff anew. */
const HEALTHY_MS = 60_000;

export class OnnxBackend implements CloudBackend {
  readonly #options: OnnxBackendOptions;
  readonly #stop = new AbortController();
  #model: LoadedModel | undefined;
  readonly #waiting = new Set<() => void>();
  #supervision: Promise<void> = Promise.resolve();

  private constructor(options: OnnxBackendOptions) {
    this.#options = options;
  }

  /** Rejects when the package cannot be loaded at all: a wrong package is a matter for a person, not for retries. */
  static async start(options: OnnxBackendOptions): Promise<OnnxBackend> {
    const backend = new OnnxBackend(options);
    const model = await options.host.load(options.packageDir, { threads: options.threads });
    backend.#adopt(model, 1);
    backend.#supervision = backend.#supervise(model);
    return backend;
  }

  ready(): boolean {
    return this.#model !== undefined;
  }

  async classify(batch: readonly CloudFrame[], context: CallContext): Promise<readonly CloudOutcome[]> {
    const all = (outcome: CloudOutcome) => batch.map(() => outcome);
    const { clock } = this.#options;
    const late = AbortSignal.timeout(Math.max(1, context.deadline - clock.now()));
    const model = await this.#whenLoaded(AbortSignal.any([context.signal, late]));
    if (model === undefined) {
      return all({ kind: "failed", code: "backend-unavailable", message: "the model is not loaded", again: false });
    }
    try {
      const results = await orAborted(model.inferBatch(batch.map((frame) => frame.jpeg)), context.signal);
      return results.map((result) => outcomeOf(model, result));
    } catch (error) {
      // Its `exited` may tell a moment later; a second attempt must wait for the next model.
      if (!context.signal.aborted && this.#model === model) this.#model = undefined;
      return all({ kind: "failed", code: "model-host-exited", message: reasonOf(error), again: "alone" }); // O2
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#model?.close();
    await this.#supervision;
  }

  async #supervise(first: LoadedModel): Promise<void> {
    const { host, packageDir, threads, clock, random, events, backoff = RELOAD_BACKOFF } = this.#options;
    const { signal } = this.#stop;
    let model: LoadedModel | undefined = first;
    let attempt = 0;
    while (!signal.aborted) {
      if (model !== undefined) {
        const since = clock.monotonicMs();
        const exitCode = await model.exited;
        this.#model = undefined;
        if (signal.aborted) return;
        events.lost({ digest: model.digest, exitCode });
        if (clock.monotonicMs() - since >= HEALTHY_MS) attempt = 0;
        model = undefined;
      }
      const retryMs = backoffMs(backoff, attempt++, random);
      await clock.sleep(retryMs, signal).catch(() => {});
      if (signal.aborted) return;
      try {
        model = await host.load(packageDir, { threads });
        this.#adopt(model, attempt);
      } catch (error) {
        events.loadFailed({ reason: reasonOf(error), retryMs }); // O1
      }
    }
    await model?.close();
  }

  #adopt(model: LoadedModel, attempt: number): void {
    this.#model = model;
    this.#options.events.loaded({ digest: model.digest, pid: model.pid, attempt });
    for (const wake of [...this.#waiting]) wake();
  }

  async #whenLoaded(signal: AbortSignal): Promise<LoadedModel | undefined> {
    const over = AbortSignal.any([signal, this.#stop.signal]);
    while (this.#model === undefined && !over.aborted) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake); // G9: a model may stay away for days, its callers do not
          over.removeEventListener("abort", wake);
          resolve();
        };
        this.#waiting.add(wake);
        over.addEventListener("abort", wake, { once: true });
      });
    }
    return this.#model;
  }
}

function outcomeOf(model: LoadedModel, result: InferenceResult): CloudOutcome {
  if (!result.ok) {
    const { code, message } = result;
    return code === "model-busy"
      ? { kind: "failed", code, message, again: "alone" }
      : { kind: "refused", code, message };
  }
  const { labelIndex, confidence, margin } = calibrated(result.inference.logits, model.temperature);
  const label = model.labels[labelIndex];
  if (label === undefined) {
    return { kind: "failed", code: "label-unknown", message: `no label ${labelIndex}`, again: false };
  }
  return { kind: "answered", label, confidence, margin, modelDigest: model.digest };
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
