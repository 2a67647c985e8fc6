/**
 * Runs a tested model in shadow of the active one, on frames that were answered already: it reports how often both agree, and
 * its answers are not used.
 *
 * Only with headroom: one frame at a time, and none while another waits to be answered. It ends after the configured frames, or
 * after SHADOW_MS_MAX with fewer: a device without frames must not wait forever. A picture that it cannot process, and that
 * the active model answered, ends it with a failure: without one the lack of answers would pass for agreement.
 */
import type { LoadedModel } from "@tributary/inference";
import { type Clock, Failure, reasonOf } from "@tributary/kernel";

export const SHADOW_MS_MAX = 600_000;

export type Shadowed = { readonly agrees: boolean; readonly latencyMs: number };

export type ShadowPorts = {
  /** A frame waits for its answer. */
  readonly isBusy: () => boolean;
  readonly onShadowed: (shadowed: Shadowed) => void;
  readonly clock: Clock;
};

export class Shadow {
  readonly #model: LoadedModel;
  readonly #frames: number;
  readonly #ports: ShadowPorts;
  readonly #over = Promise.withResolvers<void>();
  #seen = 0;
  #isAsked = false;

  constructor(model: LoadedModel, frames: number, ports: ShadowPorts) {
    this.#model = model;
    this.#frames = frames;
    this.#ports = ports;
  }

  /** Resolves when it has seen enough; throws Failure when the model failed, or the signal's reason. */
  async run(signal: AbortSignal): Promise<void> {
    const timer = new AbortController();
    const stop = () => this.#over.reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    const late = this.#ports.clock.sleep(SHADOW_MS_MAX, timer.signal).catch(() => new Promise<void>(() => undefined));
    void this.#model.exited.then((code) => {
      this.#over.reject(new Failure("model-crashed", "give-up", `beside the active model it ended with ${code}`));
    });
    try {
      if (signal.aborted) stop();
      await Promise.race([this.#over.promise, late]);
    } finally {
      timer.abort();
      signal.removeEventListener("abort", stop);
      this.#isAsked = true; // Nothing more is taken.
    }
  }

  /** An answered frame, and its answer. */
  offer(jpeg: Uint8Array, label: string): void {
    if (this.#isAsked || this.#ports.isBusy()) return;
    this.#isAsked = true;
    this.#model.infer(jpeg).then(
      (result) => {
        this.#isAsked = false;
        if (!result.ok) {
          // The active model has answered this picture.
          this.#over.reject(new Failure(result.code, "give-up", result.message));
          return;
        }
        const { logits, timingsMs } = result.inference;
        const best = indexOfLargest(logits);
        if (best === undefined) {
          this.#over.reject(new Failure("model-output-invalid", "give-up", "its outputs are not finite numbers"));
          return;
        }
        const agrees = this.#model.labels[best] === label;
        this.#ports.onShadowed({ agrees, latencyMs: timingsMs.preprocess + timingsMs.run });
        if (++this.#seen >= this.#frames) this.#over.resolve();
      },
      (error: unknown) => this.#over.reject(new Failure("model-crashed", "give-up", reasonOf(error))),
    );
  }
}

function indexOfLargest(values: Float32Array): number | undefined {
  let best = 0;
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) return undefined;
    if ((values[i] as number) > (values[best] as number)) best = i;
  }
  return best;
}
