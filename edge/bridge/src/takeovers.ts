/**
 * Takeovers: a device connects while a session of its name is active, which ends that one (MQTT-3.1.4-2). Two devices with one
 * name would end each other's sessions forever; takeovers of a name are limited, beyond which the existing session stays (G9).
 *
 * K1. A device may take over `perMinuteMax` times at once, and as often in every minute from then on.
 * K2. Only devices with recent takeovers are remembered.
 */
export type TakeoversOf = { readonly deviceId: string; readonly takeovers: number };

type Account = { tokens: number; atMs: number; takeovers: number; sinceMs: number };

const MINUTE_MS = 60_000;
/** For how long takeovers are counted for each device. */
const COUNTED_MS = 10 * MINUTE_MS;

export class Takeovers {
  readonly #perMinuteMax: number;
  readonly #accounts = new Map<string, Account>();

  constructor(perMinuteMax: number) {
    this.#perMinuteMax = perMinuteMax;
  }

  get size(): number {
    return this.#accounts.size;
  }

  /** Whether this one may take over. Counts it either way. */
  take(deviceId: string, nowMs: number): boolean {
    let account = this.#accounts.get(deviceId);
    if (account === undefined || nowMs - account.sinceMs >= COUNTED_MS) {
      account = { tokens: account?.tokens ?? this.#perMinuteMax, atMs: nowMs, takeovers: 0, sinceMs: nowMs };
      this.#accounts.set(deviceId, account);
    }
    const gained = ((nowMs - account.atMs) / MINUTE_MS) * this.#perMinuteMax;
    account.tokens = Math.min(this.#perMinuteMax, account.tokens + gained);
    account.atMs = nowMs;
    account.takeovers++;
    if (account.tokens < 1) return false;
    account.tokens--;
    return true;
  }

  /** The devices with the most recent takeovers. */
  most(devicesMax: number, nowMs: number): readonly TakeoversOf[] {
    this.#forget(nowMs);
    return [...this.#accounts]
      .map(([deviceId, { takeovers }]) => ({ deviceId, takeovers }))
      .toSorted((a, b) => b.takeovers - a.takeovers)
      .slice(0, devicesMax);
  }

  #forget(nowMs: number): void {
    for (const [deviceId, { sinceMs }] of this.#accounts) {
      if (nowMs - sinceMs >= COUNTED_MS) this.#accounts.delete(deviceId);
    }
  }
}
