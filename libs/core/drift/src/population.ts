/** Devices of a fleet by attribute: how many share each value. */
export type Attributes = Readonly<Record<string, string>>;

export class Population {
  #size = 0;
  readonly #counts = new Map<string, Map<string, number>>();

  static of(devices: Iterable<Attributes>): Population {
    const population = new Population();
    for (const attributes of devices) population.add(attributes);
    return population;
  }

  get size(): number {
    return this.#size;
  }

  add(attributes: Attributes): void {
    this.#count(attributes, 1);
  }

  /** Devices with this value. */
  with(key: string, value: string): number {
    return this.#counts.get(key)?.get(value) ?? 0;
  }

  /** The same without some of its devices. */
  without(devices: Iterable<Attributes>): Population {
    const rest = new Population();
    rest.#size = this.#size;
    for (const [key, values] of this.#counts) rest.#counts.set(key, new Map(values));
    for (const attributes of devices) rest.#count(attributes, -1);
    return rest;
  }

  *values(): Iterable<{ readonly key: string; readonly value: string; readonly devices: number }> {
    for (const [key, values] of this.#counts) {
      for (const [value, devices] of values) yield { key, value, devices };
    }
  }

  #count(attributes: Attributes, devices: number): void {
    this.#size += devices;
    for (const key in attributes) {
      const value = attributes[key] as string;
      let values = this.#counts.get(key);
      if (values === undefined) {
        values = new Map();
        this.#counts.set(key, values);
      }
      values.set(value, (values.get(value) ?? 0) + devices);
    }
  }
}
