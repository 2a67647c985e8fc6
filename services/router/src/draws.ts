/**
 * Whether a device's claim that the random sample drew a frame is true: the draw is made again by the device's key, which
 * the registry gives.
 *
 * D1. A device whose password changed draws by its former key until the new one has reached it; both are tried.
 * D2. What cannot be verified is no lie: agents of earlier versions draw by keys of their own. How many such draws pass is
 *     the fleet's to bound (shares.ts D4).
 */
import { createHmac } from "node:crypto";
import { type EdgeFrame, topics } from "@tributary/contracts";
import { type FollowContext, follow } from "@tributary/kafka";
import { formatFrameId } from "@tributary/kernel";
import { sampleDraw } from "@tributary/routing";
import { sampleKeyOf } from "@tributary/service-kit";

const RETRY_MS = 1_000;

type Keys = { readonly now: Buffer; readonly before: Buffer | undefined };

export type DrawnFrame = Pick<EdgeFrame, "deviceId" | "bootId" | "cameraId" | "frameSeq" | "samplePropensity">;

export class Draws {
  readonly #context: Omit<FollowContext, "signal">;
  readonly #keys = new Map<string, Keys>();
  readonly #stop = new AbortController();
  #ended: Promise<unknown> = Promise.resolve();

  constructor(context: Omit<FollowContext, "signal">) {
    this.#context = context;
  }

  start(): void {
    this.#ended = this.#follow();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  /** A registry that is not there yet is waited for: until then nothing can be verified (D2). */
  async #follow(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const following = await follow({ ...this.#context, signal }, topics.registry, (registration) => {
          if (registration !== null) this.registered(registration.deviceId, registration.passwordHash);
        });
        await following.ended;
      } catch {
        await this.#context.clock.sleep(RETRY_MS, signal).catch(() => {});
      }
    }
  }

  registered(deviceId: string, passwordHash: string): void {
    const now = sampleKeyOf(deviceId, passwordHash);
    const known = this.#keys.get(deviceId);
    if (known === undefined || !known.now.equals(now)) this.#keys.set(deviceId, { now, before: known?.now }); // D1
  }

  isDrawn(frame: DrawnFrame): boolean {
    const keys = this.#keys.get(frame.deviceId);
    if (keys === undefined) return false; // D2
    const frameId = formatFrameId(frame);
    const isDrawnBy = (key: Buffer) =>
      sampleDraw(createHmac("sha256", key).update(frameId).digest(), frame.samplePropensity);
    return isDrawnBy(keys.now) || (keys.before !== undefined && isDrawnBy(keys.before));
  }
}
