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

export type Decided = { readonly calibrated: Calibrated; readonly decision: DeviceDecision; readonly label: string };

export class Decider {
  /** Made once: it would cost 15 µs for each draw. */
  #sampleKey: KeyObject;
  readonly #triggers: Triggers;
  #bucket: Bucket | undefined;

  constructor(sampleKey: Uint8Array, triggers: Triggers) {
    this.#sampleKey = createSecretKey(sampleKey);
    this.#triggers = triggers;
  }

  /** The outbox's, once there is one. */
  useSampleKey(sampleKey: Uint8Array): void {
    this.#sampleKey = createSecretKey(sampleKey);
  }

  /** `frameId` as text: the input of the keyed draw. */
  decide(logits: Float32Array, policy: RoutingPolicy, cameraId: string, frameId: string, nowMs: number): Decided {
    const calibrated = calibrate(logits, policy.temperature);
    this.#bucket ??= bucketInit(bucketSettingsOf(policy));
    const decision = decideOnDevice({
      policy,
      calibrated,
      externalTrigger: this.#triggers.take(cameraId, nowMs),
      draw: (propensity) => sampleDraw(createHmac("sha256", this.#sampleKey).update(frameId).digest(), propensity),
      bucket: this.#bucket,
      nowMs,
    });
    this.#bucket = decision.bucket;
    return { calibrated, decision, label: policy.labels[calibrated.labelIndex] as string };
  }
}
