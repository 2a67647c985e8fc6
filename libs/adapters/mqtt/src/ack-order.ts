/** Acknowledgements leave in the order the messages came (MQTT-4.6.0), whichever is settled first. Pure. */
type Pending = { settled: boolean; readonly acknowledge: () => void };

export class AckOrder {
  #pending: Pending[] = [];

  get size(): number {
    return this.#pending.length;
  }

  /** Registers a message; call what it returns once it may be acknowledged. */
  begin(acknowledge: () => void): () => void {
    const pending: Pending = { settled: false, acknowledge };
    this.#pending.push(pending);
    return () => {
      pending.settled = true;
      let done = 0;
      while (this.#pending[done]?.settled) done++;
      for (const { acknowledge } of this.#pending.splice(0, done)) acknowledge();
    };
  }
}
