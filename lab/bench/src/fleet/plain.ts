/** The same fold as a map of maps of objects, the alternative to typed arrays. */
import type { EdgeMetrics } from "@tributary/contracts";
import type { Arm, Counts } from "@tributary/rollouts/judge";

type Entry = { good: number; frames: number; goodSince: number; framesSince: number };

export class PlainFleet {
  readonly #devices = new Map<string, Map<string, Entry>>();
  readonly #crashedAt = new Map<string, number>();
  readonly #seen = new Map<string, { bootId: bigint; seq: bigint }>();
  #startedAt = Number.POSITIVE_INFINITY;

  start(at: number): void {
    this.#startedAt = at;
  }

  fold({ deviceId, bootId, seq, device }: EdgeMetrics, at: number): void {
    const seen = this.#seen.get(deviceId);
    if (seen !== undefined && seen.bootId === bootId && seen.seq >= seq) return;
    this.#seen.set(deviceId, { bootId, seq });
    const losses = device.model_losses;
    if (losses !== undefined && losses.sum > 0) this.#crashedAt.set(deviceId, at);
  }

  observe(deviceId: string, metric: string, good: number, frames: number, at: number): void {
    let device = this.#devices.get(deviceId);
    if (device === undefined) {
      device = new Map();
      this.#devices.set(deviceId, device);
    }
    let entry = device.get(metric);
    if (entry === undefined) {
      entry = { good: 0, frames: 0, goodSince: 0, framesSince: 0 };
      device.set(metric, entry);
    }
    if (at >= this.#startedAt) {
      entry.goodSince += good;
      entry.framesSince += frames;
    } else {
      entry.good += good;
      entry.frames += frames;
    }
  }

  counts(metric: string, control: readonly string[], canary: readonly string[]): Counts {
    const arm = (deviceIds: readonly string[]): Arm => {
      const entries = deviceIds.map((deviceId) => this.#devices.get(deviceId)?.get(metric));
      return {
        good: entries.map((entry) => entry?.goodSince ?? 0),
        frames: entries.map((entry) => entry?.framesSince ?? 0),
        before: entries.map((entry) => (entry === undefined || entry.frames === 0 ? 0 : entry.good / entry.frames)),
      };
    };
    return { control: arm(control), canary: arm(canary) };
  }
}
