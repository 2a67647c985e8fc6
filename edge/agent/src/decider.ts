/**
 * Decides whether one classified frame is sent (METHODS C), with the device's own state: token bucket, triggers, sample key.
 * Time is an argument and the only randomness is the keyed draw, so a decision can be replayed (G10).
 */
import { createHmac, createSecretKey, type KeyObject } from "node:crypto";
import type { RoutingPolicy } from "@tributary/contracts";
import {
  type Bucket,
  bucketInit,
  bucketSettingsOf,
  type Calibrated,
  calibrate,
  type DeviceDecision,
  decideOnDevice,
  sampleDraw,
} from "@tributary/routing/device";
import type { Triggers } from "./triggers.ts";

export type Decided = {
  readonly calibrated: Calibrated;
  readonly decision: DeviceDecision;
  readonly label: string;
  /** Within which a final answer is wanted. */
  readonly deadlineMs: number;
};

/** Of FALLBACK frames: how many a second, of all cameras together, and their own deadline. */
export type FallbackSettings = { readonly perSecondMax: number; readonly deadlineMs: number };

export class Decider {
  /** Made once: it would cost 15 µs for each draw. */
  #sampleKey: KeyObject;
  readonly #triggers: Triggers;
  #bucket: Bucket | undefined;
  readonly #fallback: FallbackSettings;
  #fallbackAtMs = Number.NEGATIVE_INFINITY;

  constructor(sampleKey: Uint8Array, triggers: Triggers, fallback: FallbackSettings) {
    this.#sampleKey = createSecretKey(sampleKey);
    this.#triggers = triggers;
    this.#fallback = fallback;
  }

  /** The outbox's, once there is one. */
  useSampleKey(sampleKey: Uint8Array): void {
    this.#sampleKey = createSecretKey(sampleKey);
  }

  /** `frameId` as text: the input of the keyed draw. */
  decide(
    logits: Float32Array,
    policy: RoutingPolicy,
    {
      cameraId,
      frameId,
      isDegraded,
    }: { readonly cameraId: string; readonly frameId: string; readonly isDegraded: boolean },
    nowMs: number,
  ): Decided {
    const isFallback = isDegraded && nowMs - this.#fallbackAtMs >= 1_000 / this.#fallback.perSecondMax;
    const calibrated = calibrate(logits, policy.temperature);
    this.#bucket ??= bucketInit(bucketSettingsOf(policy));
    const decision = decideOnDevice({
      policy,
      calibrated,
      externalTrigger: this.#triggers.take(cameraId, nowMs),
      isFallback,
      draw: (propensity) => sampleDraw(createHmac("sha256", this.#sampleKey).update(frameId).digest(), propensity),
      bucket: this.#bucket,
      nowMs,
    });
    this.#bucket = decision.bucket;
    if (decision.reason === "FALLBACK") this.#fallbackAtMs = nowMs;
    const deadlineMs = decision.reason === "FALLBACK" ? this.#fallback.deadlineMs : policy.deadlineMs;
    return { calibrated, decision, deadlineMs, label: policy.labels[calibrated.labelIndex] as string };
  }
}
