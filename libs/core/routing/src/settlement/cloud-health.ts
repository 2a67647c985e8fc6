/**
 * Whether the cloud target is worth asking: a circuit breaker with probes.
 *
 * It opens when, among recent calls, at least `failuresMin` and half of all failed. A call that never came back is one. While
 * open, one probe each `probeEveryMs` may go, so it can find out that the target is back. Any answer closes it and forgets the
 * failures. */
export type CloudHealthSettings = {
  readonly failuresMin: number;
  readonly failureShareMin: number;
  /** Old calls lose half their weight in this time. */
  readonly halfLifeMs: number;
  readonly probeEveryMs: number;
};

export const cloudHealthDefaults: CloudHealthSettings = {
  failuresMin: 10,
  failureShareMin: 0.5,
  halfLifeMs: 10_000,
  probeEveryMs: 500,
};

export class CloudHealth {
  readonly #settings: CloudHealthSettings;
  #answers = 0;
  #failures = 0;
  #decayedAt = Number.NEGATIVE_INFINITY;
  #open = false;
  #probeAt = Number.NEGATIVE_INFINITY;

  constructor(settings: CloudHealthSettings = cloudHealthDefaults) {
    this.#settings = settings;
  }

  get open(): boolean {
    return this.#open;
  }

  /** Whether a call may go now. Taking it while open uses up the probe. */
  admit(now: number): boolean {
    if (!this.#open) return true;
    if (now < this.#probeAt) return false;
    this.#probeAt = now + this.#settings.probeEveryMs;
    return true;
  }

  answered(now: number): void {
    this.#decay(now);
    this.#answers++;
    if (this.#open) {
      this.#open = false;
      this.#failures = 0;
    }
  }

  failed(now: number): void {
    this.#decay(now);
    this.#failures++;
    const share = this.#failures / (this.#failures + this.#answers);
    if (this.#open || this.#failures < this.#settings.failuresMin || share < this.#settings.failureShareMin) return;
    this.#open = true;
    this.#probeAt = now + this.#settings.probeEveryMs;
  }

  #decay(now: number): void {
    if (now > this.#decayedAt) {
      const factor = 0.5 ** ((now - this.#decayedAt) / this.#settings.halfLifeMs);
      this.#answers *= factor;
      this.#failures *= factor;
      this.#decayedAt = now;
    }
  }
}
