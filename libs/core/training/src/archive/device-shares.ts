/**
 * A bounded map by device and key. When it is full, the device with the most forgets its oldest entry (owner-shares.ts of the kernel):
 * one that writes much forgets its own, not those of others.
 */
import { Holdings } from "@tributary/kernel";

export class DeviceShares<T> {
  readonly #max: number;
  readonly #byDevice = new Map<string, Map<string, T>>();
  readonly #holdings = new Holdings<string>();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#holdings.total;
  }

  get(deviceId: string, key: string): T | undefined {
    return this.#byDevice.get(deviceId)?.get(key);
  }

  /** Those of a device, oldest first. */
  of(deviceId: string): IterableIterator<T> {
    return (this.#byDevice.get(deviceId) ?? new Map<string, T>()).values();
  }

  /** A new entry is the newest; another value of an old one is as old as it was. */
  set(deviceId: string, key: string, value: T): void {
    const own = this.#byDevice.get(deviceId) ?? new Map<string, T>();
    this.#byDevice.set(deviceId, own);
    if (!own.has(key)) this.#holdings.add(deviceId, 1);
    own.set(key, value);
    if (this.#holdings.total > this.#max) this.#forgetOldest(this.#holdings.largest() ?? deviceId);
  }

  delete(deviceId: string, key: string): void {
    const own = this.#byDevice.get(deviceId);
    if (own?.delete(key) !== true) return;
    this.#holdings.add(deviceId, -1);
    if (own.size === 0) this.#byDevice.delete(deviceId);
  }

  /** Forgets what `isOver` is true of. */
  prune(isOver: (value: T) => boolean): void {
    for (const [deviceId, own] of this.#byDevice) {
      for (const [key, value] of own) if (isOver(value)) this.delete(deviceId, key);
    }
  }

  #forgetOldest(deviceId: string): void {
    const oldest = this.#byDevice.get(deviceId)?.keys().next();
    if (oldest !== undefined && !oldest.done) this.delete(deviceId, oldest.value);
  }
}
