/**
 * Checkpoints on rollouts.evidence.v1: any bytes, in parts, in one of two slots.
 *
 * The parts of a slot come first, and its manifest last. A writer takes the slot that does not hold the newest whole checkpoint, so there is one
 * at every moment, wherever a writer dies. Two writers at once may mix their parts in a slot: then its manifest does not match them, and the
 * other slot counts.
 *
 * T1. A slot counts if all parts are of its manifest's generation, and the digest is that of their bytes; of two the newer.
 * T2. One of a moment later than Kafka's own time of its manifest is of a wrong clock, and does not count: looks would wait until then.
 * T3. (G9) Parts are kept until they were taken, at the start; later ones are remembered without their bytes.
 */
import { createHash, randomUUID } from "node:crypto";
import { type RolloutEvidence, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow, type RecordSink } from "@tributary/kafka";
import { Failure, type Instant } from "@tributary/kernel";

/** As stored. */
export type Stored = { readonly at: Instant; readonly format: number; readonly bytes: Buffer };

const SLOTS = ["a", "b"] as const;
type Slot = (typeof SLOTS)[number];
const CHUNK_BYTES = 480 * 1024;
/** Half a gibibyte: a fleet of millions is below. */
const CHUNKS_MAX = 1_024;
const MANIFEST = "manifest";
const AHEAD_MS_MAX = 60_000;

type Part = { readonly generation: string; readonly chunk: Uint8Array | null };
type Kept = { manifest: Omit<RolloutEvidence, "chunk" | "index"> | null; readonly parts: Map<number, Part> };

export class CheckpointTopic {
  readonly #sink: RecordSink;
  readonly #slots: Readonly<Record<Slot, Kept>> = {
    a: { manifest: null, parts: new Map() },
    b: { manifest: null, parts: new Map() },
  };
  #isTaken = false;

  constructor(sink: RecordSink) {
    this.#sink = sink;
  }

  follow(context: FollowContext): Promise<Following> {
    return follow(context, topics.rolloutEvidence, (record, { key, timestamp }) => {
      const [slot = "", part = ""] = key?.split("/") ?? [];
      if (slot !== "a" && slot !== "b") return;
      const kept = this.#slots[slot];
      if (part === MANIFEST) {
        if (record === null || record.at <= timestamp + AHEAD_MS_MAX) kept.manifest = record; // T2
        return;
      }
      const index = Number(part);
      if (!(index >= 0 && index < CHUNKS_MAX)) return;
      if (record === null) kept.parts.delete(index);
      else
        kept.parts.set(index, {
          generation: record.generation,
          chunk: this.#isTaken ? null : Buffer.from(record.chunk),
        });
    });
  }

  /** Moment and generation of the newest whole one; null: there is none. */
  get newest(): { readonly at: Instant; readonly generation: string } | null {
    const [slot] = this.#whole();
    return slot === undefined ? null : (this.#slots[slot].manifest as RolloutEvidence);
  }

  /** The whole ones, the newest first; once, when the topic is read. What is damaged is handed to `onDamaged`. */
  take(onDamaged: (words: string) => void): readonly Stored[] {
    const whole = this.#whole();
    for (const slot of SLOTS) {
      const { manifest, parts } = this.#slots[slot];
      if (whole.includes(slot) || (manifest === null && parts.size === 0)) continue;
      onDamaged(`slot ${slot} is half written: its parts are not all of one writing`);
    }
    const stored = whole.flatMap((slot): Stored[] => {
      const { manifest, parts } = this.#slots[slot];
      const { at, format, count, sha256 } = manifest as RolloutEvidence;
      const bytes = Buffer.concat(Array.from({ length: count }, (_, i) => parts.get(i)?.chunk ?? Buffer.alloc(0)));
      if (digestOf(bytes) === sha256) return [{ at, format, bytes }];
      onDamaged(`slot ${slot} of ${new Date(at).toISOString()} is damaged: its digest is another`);
      return [];
    });
    this.#isTaken = true;
    for (const { parts } of Object.values(this.#slots))
      for (const [index, { generation }] of parts) parts.set(index, { generation, chunk: null }); // T3
    return stored;
  }

  /** Resolves with its generation when all of it is stored. */
  async write({ at, format, bytes }: Stored): Promise<string> {
    const count = Math.ceil(bytes.length / CHUNK_BYTES);
    if (count > CHUNKS_MAX)
      throw new Failure("checkpoint-too-large", "ask-a-person", `it has ${bytes.length} bytes: too many devices`);
    const [newest] = this.#whole();
    const slot: Slot = newest === "a" ? "b" : "a";
    const generation = randomUUID();
    const sha256 = digestOf(bytes);
    const send = async (key: string, index: number, chunk: Buffer) => {
      const value = topics.rolloutEvidence.codec.encodeConfluent({
        generation,
        at,
        format,
        index,
        count,
        sha256,
        chunk,
      });
      await this.#sink.send([{ topic: topics.rolloutEvidence.name, key: `${slot}/${key}`, value }]);
    };
    for (let i = 0; i < count; i++) await send(`${i}`, i, bytes.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES));
    await send(MANIFEST, count, Buffer.alloc(0));
    return generation;
  }

  /** T1, but for the digest; the newest first. */
  #whole(): readonly Slot[] {
    const isWhole = (slot: Slot) => {
      const { manifest, parts } = this.#slots[slot];
      if (manifest === null) return false;
      for (let i = 0; i < manifest.count; i++) if (parts.get(i)?.generation !== manifest.generation) return false;
      return true;
    };
    const atOf = (slot: Slot) => this.#slots[slot].manifest?.at ?? 0;
    return SLOTS.filter(isWhole).sort((a, b) => atOf(b) - atOf(a));
  }
}

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
