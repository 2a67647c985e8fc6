/** Reads the log again for frames whose labels come when the frames are no longer in memory.
 *
 * The label says about when Kafka got its frame's records (`frameAt`). The device's partition is read around that time, wider if the frame is not
 * found near it, once for all labels whose times overlap. Nothing later than what is folded is read, and always to the end: so what is
 * found depends on the log and on the moment alone. A reading that takes long delays the look, which shows as a fold that is behind. */
import {
  type Classifications,
  ContractError,
  type EdgePredictions,
  type GroundTruth,
  type Topic,
  topics,
} from "@tributary/contracts";
import { type InRecord, type PartitionReader, partitionOf } from "@tributary/kafka";
import { formatFrameId, type Instant } from "@tributary/kernel";
import { drawnOf, FAR_MS, type FoundFrame, type SoughtFrame, type SystemLabel } from "./label-join.ts";
import type { Span } from "./labelled-frames.ts";
import { isWanted } from "./system-answers.ts";
import { settled } from "./topic-slices.ts";

export type LateFramesOptions = {
  readonly reader: PartitionReader;
  readonly propensityMean: number;
  /** A record was read. */
  readonly onRecord: () => void;
};

/** A frame's records are about its time. The writer of a label may know it less exactly, and a device may send late. */
const WITHIN_MS = [60_000, 600_000, FAR_MS] as const;
/** Not every frame has an answer of the router, so that the widest search would be made for nothing. */
const ANSWER_WITHIN_MS = [WITHIN_MS[0], WITHIN_MS[1]] as const;
/** Records between two turns of the event loop. */
const AT_ONCE = 200;

type Wanted = Span & { readonly frame: string; readonly deviceId: string };
/** Frames that are still to be found in a partition. */
type Pending = Map<string, Wanted>;

export class LateFrames {
  readonly #options: LateFramesOptions;

  constructor(options: LateFramesOptions) {
    this.#options = options;
  }

  /** Those of the log up to `to`; a frame that is not in the result is not there. */
  async find(
    sought: readonly SoughtFrame[],
    to: Instant,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, FoundFrame>> {
    const found = new Map<string, FoundFrame>();
    for (const withinMs of WITHIN_MS) {
      const open = sought.filter(({ frame }) => !found.has(frame)).map((one) => around(one, withinMs));
      await this.#search(topics.predictions, open, to, signal, (batch, record, pending) => {
        this.#predicted(batch, record, pending, found);
      });
    }
    const drawn = sought.filter(({ frame }) => found.get(frame)?.kind === "drawn");
    const answered = new Set<string>();
    for (const withinMs of ANSWER_WITHIN_MS) {
      const open = drawn.filter(({ frame }) => !answered.has(frame)).map((one) => around(one, withinMs));
      await this.#search(topics.classifications, open, to, signal, (answers, _record, pending) => {
        takeAnswers(answers, pending, found, answered);
      });
    }
    const before = new Map(drawn.map((one) => [one.frame, one.before]));
    const labelled = drawn.flatMap(({ frame, deviceId, labelled }) =>
      labelled.map((span) => ({ frame, deviceId, ...span })),
    );
    await this.#search(topics.groundTruth, labelled, to, signal, (truth: GroundTruth, { offset }) => {
      const frame = formatFrameId(truth);
      const known = found.get(frame);
      if (known?.kind === "drawn" && offset < (before.get(frame) ?? 0n))
        found.set(frame, { ...known, truth: truth.label });
    });
    return found;
  }

  #predicted(batch: EdgePredictions, { timestamp }: InRecord, pending: Pending, found: Map<string, FoundFrame>): void {
    for (const prediction of batch.predictions) {
      const frame = formatFrameId({ ...batch, ...prediction });
      if (!pending.has(frame) || !(prediction.ageMs >= 0)) continue;
      pending.delete(frame);
      const drawn = drawnOf(batch, prediction, timestamp - prediction.ageMs, timestamp, this.#options.propensityMean);
      const known = { kind: "drawn", isWanted: isWanted(prediction), truth: undefined } as const;
      found.set(frame, drawn === null ? { kind: "not-drawn" } : { ...known, drawn });
    }
  }

  async #search<T>(
    topic: Topic<T>,
    wanted: readonly Wanted[],
    to: Instant,
    signal: AbortSignal,
    take: (value: T, record: InRecord, pending: Pending) => void,
  ): Promise<void> {
    if (wanted.length === 0) return;
    const { length } = await this.#options.reader.partitions(topic.name);
    const byPartition = Map.groupBy(wanted, ({ deviceId }) => partitionOf(deviceId, length));
    await settled(
      [...byPartition].map(async ([partition, own]) => {
        for (const window of merged(own)) {
          if (!signal.aborted && window.from <= to) await this.#read(topic, partition, window, to, signal, take);
        }
      }),
    );
  }

  async #read<T>(
    topic: Topic<T>,
    partition: number,
    window: Window,
    to: Instant,
    signal: AbortSignal,
    take: (value: T, record: InRecord, pending: Pending) => void,
  ): Promise<void> {
    const { reader, onRecord } = this.#options;
    const [from, until] = await Promise.all([
      reader.offsetAt(topic.name, partition, window.from),
      reader.offsetAt(topic.name, partition, Math.min(window.to, to) + 1),
    ]);
    if (from >= until) return;
    const pending = new Map(window.frames.map((one) => [one.frame, one]));
    const devices = new Set(window.frames.map(({ deviceId }) => deviceId));
    let count = 0;
    for await (const record of reader.read(topic.name, partition, { from, until, signal })) {
      onRecord();
      if (++count % AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
      if (record.key === null || !devices.has(record.key)) continue; // Before it is decoded.
      const value = decoded(topic, record);
      if (value !== undefined) take(value, record, pending);
      if (pending.size === 0) return;
    }
  }
}

/** Of several answers the first holds (G2). */
function takeAnswers(
  { deviceId, bootId, answers }: Classifications,
  pending: Pending,
  found: Map<string, FoundFrame>,
  answered: Set<string>,
): void {
  for (const { cameraId, frameSeq, policyVersion, sampleDrawn, label, edgeLabel } of answers) {
    const frame = formatFrameId({ deviceId, bootId, cameraId, frameSeq });
    const known = found.get(frame);
    if (!sampleDrawn || known?.kind !== "drawn" || !pending.delete(frame)) continue;
    answered.add(frame);
    // system-answers.ts S1
    const system: SystemLabel = { policyVersion, label: known.isWanted ? label : edgeLabel };
    found.set(frame, { ...known, drawn: { ...known.drawn, system } });
  }
}

const around = ({ frame, deviceId, frameAt }: SoughtFrame, withinMs: number): Wanted => ({
  frame,
  deviceId,
  from: frameAt - withinMs,
  to: frameAt + withinMs,
});

type Window = Span & { readonly frames: readonly Wanted[] };

/** What overlaps is read once. */
function merged(wanted: readonly Wanted[]): readonly Window[] {
  const windows: { from: Instant; to: Instant; frames: Wanted[] }[] = [];
  for (const one of wanted.toSorted((a, b) => a.from - b.from)) {
    const last = windows.at(-1);
    if (last === undefined || one.from > last.to) windows.push({ from: one.from, to: one.to, frames: [one] });
    else {
      last.to = Math.max(last.to, one.to);
      last.frames.push(one);
    }
  }
  return windows;
}

/** Undefined: a tombstone, or malformed; the fold counts these. */
function decoded<T>(topic: Topic<T>, record: InRecord): T | undefined {
  if (record.value === null) return undefined;
  try {
    return topic.codec.decodeConfluent(record.value);
  } catch (error) {
    if (error instanceof ContractError) return undefined;
    throw error;
  }
}
