/** The topics of a simulated Kafka, as one log in order of receipt, the same for every instance. */
import type { EventRecord } from "@tributary/rollouts";
import type { Digest, Report, Window } from "./world.ts";

export type TapeRecord =
  /** rollouts.events.v1; `position` counts these alone. */
  | { readonly kind: "event"; readonly t: number; readonly record: EventRecord; readonly position: bigint }
  /** edge.metrics.v1, with the outcomes of its labelled frames. */
  | { readonly kind: "window"; readonly t: number; readonly window: Window }
  /** devices.reported.v1 */
  | { readonly kind: "report"; readonly t: number; readonly report: Report }
  /** devices.desired.v1 */
  | {
      readonly kind: "desired";
      readonly t: number;
      readonly deviceId: string;
      readonly generation: bigint;
      readonly digest: Digest;
    };

export class Tape {
  #records: TapeRecord[] = [];
  /** Index of the first record that is kept. */
  #from = 0;
  #events = 0n;

  get end(): number {
    return this.#from + this.#records.length;
  }

  get from(): number {
    return this.#from;
  }

  append(record: TapeRecord): number {
    this.#records.push(record);
    return this.end - 1;
  }

  /** Returns its place on the tape. */
  appendEvent(t: number, record: EventRecord): number {
    this.#events += 1n;
    return this.append({ kind: "event", t, record, position: this.#events });
  }

  at(index: number): TapeRecord {
    return this.#records[index - this.#from] as TapeRecord;
  }

  /** Drops the records that every instance has read. */
  trim(read: number): void {
    if (read - this.#from < 100_000) return;
    this.#records = this.#records.slice(read - this.#from);
    this.#from = read;
  }
}
