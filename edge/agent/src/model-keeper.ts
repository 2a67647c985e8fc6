/**
 * Keeps one model loaded: a lost child is loaded again, and a picture that crashes it is not tried forever.
 *
 * K1. A frame whose child died is tried once more with the next child; if that dies too, the frame is at fault.
 * K2. Loading again waits a jittered, bounded backoff, reset by a child that lasted.
 */
import type { InferenceResult, InferenceWant, LoadedModel } from "@tributary/inference";
import { type Backoff, backoffMs, type Clock, Failure, type Random, reasonOf } from "@tributary/kernel";

export type ModelEvents = {
  readonly onLoaded: (model: LoadedModel) => void;
  readonly onLost: (lost: { readonly code: string; readonly reason: string; readonly retryMs: number }) => void;
};

const BACKOFF: Backoff = { minMs: 200, maxMs: 30_000 };
const STEADY_MS = 30_000;

export class ModelKeeper {
  readonly #loadAgain: () => Promise<LoadedModel>;
  readonly #events: ModelEvents;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #stopping = new AbortController();
  #loaded: Promise<LoadedModel>;
  #current: LoadedModel | undefined;
  #attempt = 0;
  #loadedAtMs = 0;

  /** `first` is loaded already; `loadAgain` loads the same package. */
  constructor(
    first: LoadedModel,
    loadAgain: () => Promise<LoadedModel>,
    events: ModelEvents,
    clock: Clock,
    random: Random,
  ) {
    this.#loadAgain = loadAgain;
    this.#events = events;
    this.#clock = clock;
    this.#random = random;
    this.#loaded = Promise.resolve(first);
    this.#adopt(first);
  }

  /** Undefined while there is none. */
  get current(): LoadedModel | undefined {
    return this.#current;
  }

  /** Rejects only when the keeper is closed. */
  async infer(jpeg: Uint8Array, want?: Partial<InferenceWant>): Promise<InferenceResult> {
    for (let attempt = 0; ; attempt++) {
      const model = await this.#loaded;
      try {
        return await model.infer(jpeg, want);
      } catch (error) {
        if (this.#stopping.signal.aborted) throw error;
        await model.exited; // Then its successor is being loaded.
        if (attempt === 1) return { ok: false, code: "image-kills-model", message: reasonOf(error) };
      }
    }
  }

  async close(): Promise<void> {
    this.#stopping.abort(new Failure("model-closed", "give-up", "the model is closed"));
    await this.#current?.close();
    await this.#loaded.then(
      (model) => model.close(),
      () => undefined,
    );
  }

  #adopt(model: LoadedModel): void {
    this.#current = model;
    this.#loadedAtMs = this.#clock.monotonicMs();
    this.#events.onLoaded(model);
    model.exited.then((code) => {
      if (this.#stopping.signal.aborted) return;
      this.#current = undefined;
      this.#loaded = this.#reload(new Failure("model-host-exited", "retry", `the model's process ended with ${code}`));
      this.#loaded.catch(() => undefined);
    });
  }

  async #reload(why: unknown): Promise<LoadedModel> {
    const { signal } = this.#stopping;
    if (this.#clock.monotonicMs() - this.#loadedAtMs >= STEADY_MS) this.#attempt = 0;
    for (let reason = why; ; ) {
      const retryMs = backoffMs(BACKOFF, this.#attempt++, this.#random);
      const code = reason instanceof Failure ? reason.code : "model-unusable";
      this.#events.onLost({ code, reason: reasonOf(reason), retryMs });
      await this.#clock.sleep(retryMs, signal);
      try {
        const model = await this.#loadAgain();
        if (signal.aborted) {
          await model.close();
          throw signal.reason;
        }
        this.#adopt(model);
        return model;
      } catch (error) {
        if (signal.aborted) throw error;
        reason = error;
      }
    }
  }
}
