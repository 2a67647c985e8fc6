/**
 * Verifies a device's claim that the random sample drew a frame: the draw is repeated with the device's key from the device
 * registry.
 *
 * A device whose password changed draws with its former key until the new one has reached it; both are tried. A draw that
 * cannot be verified need not be false: agents of earlier versions draw with keys of their own. shares.ts D4 bounds how many
 * such draws pass.
 */
import { createHmac } from "node:crypto";
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { type EdgeFrame, topics } from "@tributary/contracts";
import { follow, KafkaReader } from "@tributary/kafka";
import { type Clock, formatFrameId, type Random } from "@tributary/kernel";
import { sampleDraw } from "@tributary/routing";
import { CLOCK, RANDOM, sampleKeyOf, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";

const RETRY_MS = 1_000;

type Keys = { readonly now: Buffer; readonly before: Buffer | undefined };

export type DrawnFrame = Pick<EdgeFrame, "deviceId" | "bootId" | "cameraId" | "frameSeq" | "samplePropensity">;

@Injectable()
export class Draws implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #keys = new Map<string, Keys>();
  readonly #stop = new AbortController();
  #ended: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly reader: KafkaReader,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RANDOM) private readonly random: Random,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
  ) {}

  onApplicationBootstrap(): void {
    this.#ended = this.#follow();
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  /** Waits for the registry topic: until then nothing can be verified. */
  async #follow(): Promise<void> {
    const { reader, clock, random, telemetry } = this;
    const { signal } = this.#stop;
    const context = { reader, clock, random, telemetry, signal };
    while (!signal.aborted) {
      try {
        const following = await follow(context, topics.registry, (registration) => {
          if (registration !== null) this.registered(registration.deviceId, registration.passwordHash);
        });
        await following.ended;
      } catch {
        await clock.sleep(RETRY_MS, signal).catch(() => {});
      }
    }
  }

  registered(deviceId: string, passwordHash: string): void {
    const now = sampleKeyOf(deviceId, passwordHash);
    const known = this.#keys.get(deviceId);
    if (known === undefined || !known.now.equals(now)) this.#keys.set(deviceId, { now, before: known?.now });
  }

  isDrawn(frame: DrawnFrame): boolean {
    const keys = this.#keys.get(frame.deviceId);
    if (keys === undefined) return false;
    const frameId = formatFrameId(frame);
    const isDrawnBy = (key: Buffer) =>
      sampleDraw(createHmac("sha256", key).update(frameId).digest(), frame.samplePropensity);
    return isDrawnBy(keys.now) || (keys.before !== undefined && isDrawnBy(keys.before));
  }
}
