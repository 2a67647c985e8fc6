/** How often each degraded device may ask for the cloud. What a device claims of itself is not proven, so its rate is bounded here too. */
import { Oldest } from "@tributary/kernel";
import { BURST } from "./fallback-budget.ts";

export type FallbackSettings = {
  /** Of the fleet's frames, those that degraded devices may send beside the budget. */
  readonly fleetShareMax: number;
  readonly perSecondMax: number;
};

/** Devices send two a second; a connection that stutters brings some of them closer together. */
export const fallbackDefaults: FallbackSettings = { fleetShareMax: 0.1, perSecondMax: 2.5 };

export class FallbackRates {
  readonly #settings: FallbackSettings;
  readonly #devicesMax: number;
  /** Idle longest first. */
  readonly #devices = new Map<string, { readonly tokens: number; readonly at: number }>();
  readonly #oldest = new Oldest(this.#devices);

  constructor(settings: FallbackSettings, devicesMax: number) {
    this.#settings = settings;
    this.#devicesMax = devicesMax;
  }

  /** False: it is over its rate. */
  take(deviceId: string, now: number): boolean {
    const known = this.#devices.get(deviceId);
    const { perSecondMax } = this.#settings;
    const earned = known === undefined ? BURST : known.tokens + (Math.max(0, now - known.at) / 1_000) * perSecondMax;
    const tokens = Math.min(BURST, earned);
    const isGranted = tokens >= 1;
    this.#devices.delete(deviceId);
    this.#devices.set(deviceId, { tokens: isGranted ? tokens - 1 : tokens, at: now });
    this.#oldest.trim(this.#devicesMax);
    return isGranted;
  }
}
