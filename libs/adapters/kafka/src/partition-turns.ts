/** Runs one task at a time per partition number, whatever the topic, in order; different numbers run concurrently. */
export class PartitionTurns {
  readonly #last = new Map<number, Promise<void>>();
  readonly #running = new Set<number>();

  isRunning(partition: number): boolean {
    return this.#running.has(partition);
  }

  async take<T>(partition: number, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(partition) ?? Promise.resolve();
    const { promise: mine, resolve: done } = Promise.withResolvers<void>();
    this.#last.set(partition, mine);
    await before;
    this.#running.add(partition);
    try {
      return await work();
    } finally {
      this.#running.delete(partition);
      if (this.#last.get(partition) === mine) this.#last.delete(partition);
      done();
    }
  }

  /** Resolves when nothing runs or waits any more. */
  async idle(): Promise<void> {
    while (this.#last.size > 0) await Promise.all(this.#last.values());
  }
}
