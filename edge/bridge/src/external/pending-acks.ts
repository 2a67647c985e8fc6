/**
 * Records that Kafka has and that are not acknowledged to their devices yet, merged into ranges. Pure.
 *
 * Each record that was added is returned once by `take`. One that is lost then is acknowledged later, because the device
 * sends it again. Bounded (G9): beyond `seqsMax` nothing is added. */
import {
  type DeviceAcks,
  openSingleObject,
  parseMqttTopic,
  type UplinkStream,
  uplinkStreams,
} from "@tributary/contracts";
import { type RecordIdentity, readIdentity } from "../identity.ts";
import type { Uplink } from "../uplink.ts";

export type StoredRecord = RecordIdentity & { readonly stream: UplinkStream };

/** The schema's limit of ranges in a message. */
const RANGES_MAX = 1_024;

export class PendingAcks {
  readonly #seqsMax: number;
  readonly #streams = new Map<string, { readonly of: Omit<StoredRecord, "seq">; readonly seqs: bigint[] }>();
  #size = 0;

  constructor(seqsMax: number) {
    this.#seqsMax = seqsMax;
  }

  get size(): number {
    return this.#size;
  }

  /** False: there was no room. */
  add({ seq, ...of }: StoredRecord): boolean {
    if (this.#size >= this.#seqsMax) return false;
    const name = `${of.deviceId}/${of.bootId}/${of.stream}`;
    const stream = this.#streams.get(name) ?? { of, seqs: [] };
    this.#streams.set(name, stream);
    stream.seqs.push(seq);
    this.#size += 1;
    return true;
  }

  /** Returns and removes all of it. */
  take(): readonly DeviceAcks[] {
    const taken = [...this.#streams.values()];
    this.#streams.clear();
    this.#size = 0;
    return taken.flatMap(({ of, seqs }) => {
      const ranges = rangesOf(seqs);
      const messages: DeviceAcks[] = [];
      while (ranges.length > 0) messages.push({ ...of, ranges: ranges.splice(0, RANGES_MAX) });
      return messages;
    });
  }
}

function rangesOf(seqs: readonly bigint[]): { first: bigint; last: bigint }[] {
  const ranges: { first: bigint; last: bigint }[] = [];
  for (const seq of [...seqs].sort((a, b) => (a < b ? -1 : Number(a > b)))) {
    const open = ranges.at(-1);
    if (open !== undefined && seq <= open.last + 1n) open.last = seq;
    else ranges.push({ first: seq, last: seq });
  }
  return ranges;
}

/**
 * The record that a message carries, also one that was refused: its first fields are read whatever follows them, so that the
 * device may delete a record that is a dead letter (G8). Undefined when they cannot be read, or are not the sender's.
 */
export function storedRecordOf({ principal, topic, payload }: Uplink, prefix: string): StoredRecord | undefined {
  const parsed = parseMqttTopic(topic, prefix);
  if (parsed?.kind !== "up" || parsed.format !== "avro" || !Object.hasOwn(uplinkStreams, parsed.stream))
    return undefined;
  try {
    const id = readIdentity(openSingleObject(payload).payload);
    if (id.deviceId !== principal || id.bootId <= 0n || id.seq <= 0n) return undefined;
    return { ...id, stream: parsed.stream as UplinkStream };
  } catch {
    return undefined;
  }
}
