/**
 * A bounded map by device and key. When it is full, the oldest entry goes of the device that wrote, if that one has more than its
 * share, else of the device that has most: a device that writes much forgets its own entries, not those of others.
 */
export class DeviceShares<T> {
  readonly #max: number;
  readonly #byDevice = new Map<string, Map<string, T>>();
  #size = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#size;
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
    if (!own.has(key)) this.#size++;
    own.set(key, value);
    if (this.#size > this.#max) this.#forgetOne(deviceId, own);
  }

  delete(deviceId: string, key: string): void {
    const own = this.#byDevice.get(deviceId);
    if (own?.delete(key) !== true) return;
    this.#size--;
    if (own.size === 0) this.#byDevice.delete(deviceId);
  }

  /** Forgets what `isOver` is true of. */
  prune(isOver: (value: T) => boolean): void {
    for (const [deviceId, own] of this.#byDevice) {
      for (const [key, value] of own) if (isOver(value)) this.delete(deviceId, key);
    }
  }

  #forgetOne(writer: string, own: ReadonlyMap<string, T>): void {
    let [from, most] = [writer, own];
    if (own.size * this.#byDevice.size <= this.#max) {
      for (const [deviceId, others] of this.#byDevice) if (others.size > most.size) [from, most] = [deviceId, others];
    }
    const oldest = most.keys().next();
    if (!oldest.done) this.delete(from, oldest.value);
  }
}
