/** The cost of labels that come a day late: MetricsFold with its join, and a log whose records are made when they are read. */
import { Classifications, EdgePredictions, type FinalAnswer, GroundTruth, topics } from "@tributary/contracts";
import { type InRecord, partitionOf } from "@tributary/kafka";
import { type Instant, invariant } from "@tributary/kernel";
import { MetricsFold } from "@tributary/rollout-manager";
import { RolloutController } from "@tributary/rollouts";
import { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import {
  MemoryKafka,
  silentTelemetry,
  someAnswer,
  someBootId,
  someDigest,
  somePrediction,
  somePredictions,
} from "@tributary/testing";
import type { Gate, Table } from "../bench.ts";

const SIZES = [10_000, 100_000] as const;
/** Linear, and some noise. */
const EXPONENT_MAX = 1.2;
const MINUTE = 60_000;
const DAY_MINUTES = 1_440;
const STARTED = 20_000 * DAY_MINUTES * MINUTE;
const PARTITIONS = 24;
/** Each device has so many frames a minute; the random sample draws one of them. */
const FRAMES = 5;
/** One drawn frame of so many gets its label. */
const LABELLED = 20;
/** The labels are of frames of two minutes; the log also has the frames about these, which are read as well. */
const FIRST = [0, 1, 2, 3] as const;
const LATE_MINUTES = [DAY_MINUTES, DAY_MINUTES + 1] as const;
const MINUTES = [...FIRST, ...LATE_MINUTES];

type Size = {
  readonly devices: number;
  readonly labels: number;
  readonly counted: number;
  /** Of heap and arrays for a drawn frame in memory. */
  readonly bytes: number;
  /** To fold a frame that no late label is of. */
  readonly frameUs: number;
  /** For a late label, what it costs to find its frame included. */
  readonly labelUs: number;
  /** Of a look's minute, what late labels add. */
  readonly lateMs: number;
};
export type LateLabelCosts = readonly Size[];

/** `usedBytes`: of heap and arrays. */
export async function lateLabelCosts(usedBytes: () => number): Promise<LateLabelCosts> {
  const sizes: Size[] = [];
  // What other parts of the bench left is collected by the time that memory is measured.
  await measure(1_000, usedBytes);
  for (const devices of SIZES) sizes.push(await measure(devices, usedBytes));
  return sizes;
}

async function measure(devices: number, usedBytes: () => number): Promise<Size> {
  const without = await folded(new DayLog(devices, false), 1, usedBytes);
  const { ms, counted, bytes } = await folded(new DayLog(devices, true), 2 * devices, usedBytes);
  const labels = LATE_MINUTES.length * Math.ceil(devices / LABELLED);
  const lateMs = ms - without.ms;
  return {
    devices,
    labels,
    counted,
    bytes: (bytes - without.bytes) / (2 * devices),
    frameUs: (1_000 * without.ms) / (LATE_MINUTES.length * FRAMES * devices),
    labelUs: (1_000 * lateMs) / labels,
    lateMs: lateMs / LATE_MINUTES.length,
  };
}

/** CPU time of the minutes with labels, and memory after them. */
async function folded(log: DayLog, drawnFramesMax: number, usedBytes: () => number) {
  const fleet = new FleetMetrics();
  const { ids } = log;
  const [canary, control] = [ids.slice(0, ids.length / 5), ids.slice(ids.length / 5)];
  const metrics = ["accuracy", "system-accuracy"];
  fleet.start({ uid: "bench", startedAt: STARTED, canary, control, metrics });
  for (const id of ids) for (const metric of metrics) fleet.observe(id, someDigest, metric, 1, 1, STARTED - 1);
  const emptyBytes = usedBytes();
  const fold = new MetricsFold({
    reader: log,
    fleet,
    experiments: new RolloutController(fleet).experiments,
    telemetry: silentTelemetry(),
    propensityMean: 0.02,
    limits: { drawnFramesMax, labelsWaitingMax: 50_000, labelledFramesMax: 8_000_000 },
    limitsOf: () => undefined,
    createdAt: () => undefined,
    noted: () => {},
    onRecord: () => {},
  });
  const { signal } = new AbortController();
  const foldMinute = (minute: number) => {
    const to = STARTED + (minute + 1) * MINUTE - 1;
    return fold.foldTo(to, to, signal);
  };
  await fold.start(STARTED, STARTED);
  for (const minute of FIRST) await foldMinute(minute);
  const since = process.cpuUsage();
  for (const minute of LATE_MINUTES) await foldMinute(minute);
  const { user, system } = process.cpuUsage(since);
  const ms = (user + system) / 1_000;
  const bytes = usedBytes() - emptyBytes;
  const { control: one, canary: other } = fleet.analysis("bench")?.counts("accuracy") ?? {};
  const counted = [one, other].reduce((all, arm) => all + sum(arm?.sample?.labels), 0);
  invariant(fold.foldedTo !== null, "it is folded");
  return { ms, bytes, counted };
}

const sum = (numbers: ArrayLike<number> | undefined): number => Array.from(numbers ?? []).reduce((a, b) => a + b, 0);

type Piece = { readonly minute: number; readonly from: bigint; readonly ids: readonly string[]; readonly body: Buffer };

/** In each partition a record of each device in each minute. All devices see the same in a minute, so that a record is a device's name and a body. */
class DayLog extends MemoryKafka {
  readonly ids: readonly string[];
  readonly #pieces: ReadonlyMap<string, readonly (readonly Piece[])[]>;

  constructor(devices: number, hasLabels: boolean) {
    super({ partitions: PARTITIONS });
    this.ids = Array.from({ length: devices }, (_, i) => `device-${i}`);
    const all = this.#partitioned(this.ids);
    const labelled = this.#partitioned(this.ids.filter((_, i) => i % LABELLED === 0));
    const bodies = (of: (minute: number) => Buffer, minutes: readonly number[], partitions: typeof all) =>
      partitions.map((ids) => {
        let from = 0n;
        return minutes.map((minute) => {
          const piece = { minute, from, ids, body: of(minute) };
          from += BigInt(ids.length);
          return piece;
        });
      });
    this.#pieces = new Map([
      [topics.predictions.name, bodies(predictionsOf, MINUTES, all)],
      [topics.classifications.name, bodies(answersOf, MINUTES, all)],
      [topics.groundTruth.name, hasLabels ? bodies(labelsOf, LATE_MINUTES, labelled) : []],
    ]);
  }

  override async offsets(topic: string, partition: number) {
    const last = this.#of(topic, partition).at(-1);
    return { earliest: 0n, next: last === undefined ? 0n : last.from + BigInt(last.ids.length) };
  }

  override async offsetAt(topic: string, partition: number, at: Instant): Promise<bigint> {
    for (const piece of this.#of(topic, partition)) {
      const i = Math.ceil(((at - STARTED - piece.minute * MINUTE) / MINUTE) * piece.ids.length);
      if (i < piece.ids.length) return piece.from + BigInt(Math.max(0, i));
    }
    return (await this.offsets(topic, partition)).next;
  }

  override async *read(
    topic: string,
    partition: number,
    { from = 0n, until }: { readonly from?: bigint; readonly until?: bigint },
  ): AsyncGenerator<InRecord, void> {
    for (const piece of this.#of(topic, partition)) {
      for (const [i, key] of piece.ids.entries()) {
        const offset = piece.from + BigInt(i);
        if (offset < from) continue;
        if (until !== undefined && offset >= until) return;
        const timestamp = STARTED + piece.minute * MINUTE + Math.floor((i / piece.ids.length) * MINUTE);
        const place = { topic, partition, offset, key, headers: {}, timestamp };
        // A client's value is a part of what it fetched already: it costs nothing where it is not read.
        yield Object.defineProperty(place, "value", { get: () => named(piece.body, key) }) as InRecord;
      }
    }
  }

  #of(topic: string, partition: number): readonly Piece[] {
    return this.#pieces.get(topic)?.[partition] ?? [];
  }

  #partitioned(ids: readonly string[]): readonly (readonly string[])[] {
    const byPartition = Map.groupBy(ids, (id) => partitionOf(id, PARTITIONS));
    return Array.from({ length: PARTITIONS }, (_, partition) => byPartition.get(partition) ?? []);
  }
}

/** Confluent's framing, then an empty name, which is the first field of each of these records. */
const NAME_AT = 5;

/** Such a record with this device's name. */
function named(body: Buffer, deviceId: string): Buffer {
  const [framing, rest] = [body.subarray(0, NAME_AT), body.subarray(NAME_AT + 1)];
  return Buffer.concat([framing, Buffer.from([2 * deviceId.length]), Buffer.from(deviceId), rest]);
}

const frameOf = (minute: number, i: number): bigint => BigInt(minute * FRAMES + i + 1);

function predictionsOf(minute: number): Buffer {
  const predictions = Array.from({ length: FRAMES }, (_, i) =>
    somePrediction({ frameSeq: frameOf(minute, i), sampleDrawn: i === 0, label: "cat", wouldSend: false, ageMs: 0 }),
  );
  return EdgePredictions.encodeConfluent(somePredictions({ deviceId: "", seq: BigInt(minute + 1), predictions }));
}

function answersOf(minute: number): Buffer {
  const answers = Array.from({ length: FRAMES }, (_, i): FinalAnswer => {
    return someAnswer({ frameSeq: frameOf(minute, i), sampleDrawn: i === 0, settledBy: "KEPT", latencyMs: 0 });
  });
  return Classifications.encodeConfluent({ deviceId: "", bootId: someBootId, answers });
}

/** Of the frames a day before; of each device its first, whose time is known to the minute. */
function labelsOf(minute: number): Buffer {
  const of = minute - DAY_MINUTES + 1;
  const frame = { deviceId: "", bootId: someBootId, cameraId: "cam", frameSeq: frameOf(of, 0) };
  const by = { source: "MEASUREMENT", labelledBy: "bench", labelledAt: 0, labelSet: null, comment: null } as const;
  return GroundTruth.encodeConfluent({ ...frame, label: "cat", frameAt: STARTED + (of + 0.5) * MINUTE, ...by });
}

const exponentOf = (costs: LateLabelCosts, cost: (of: Size) => number): number => {
  const [small, large] = costs as readonly [Size, Size];
  return Math.log(cost(large) / cost(small)) / Math.log(large.devices / small.devices);
};

export const lateLabelTable = (costs: LateLabelCosts): Table => ({
  title: "Labels a day late",
  columns: ["devices", "labels", "counted", "bytes a drawn frame", "a frame, µs", "a late label, µs", "ms a look"],
  rows: costs.map(({ devices, labels, counted, bytes, frameUs, labelUs, lateMs }) =>
    [devices, labels, counted, bytes, frameUs.toFixed(1), labelUs, lateMs].map((value) =>
      typeof value === "string" ? value : Math.round(value).toLocaleString("en-US"),
    ),
  ),
});

export const lateLabelGates = (costs: LateLabelCosts): Gate[] => [
  {
    name: "every label that is a day late counts",
    passed: costs.every(({ labels, counted }) => counted === labels),
    measured: costs.map(({ labels, counted }) => `${counted} of ${labels}`).join(", "),
  },
  ...[
    { name: "late labels' time", exponent: exponentOf(costs, ({ lateMs }) => lateMs) },
    { name: "memory for frames", exponent: exponentOf(costs, ({ bytes, devices }) => bytes * devices) },
  ].map(({ name, exponent }) => ({
    name: `${name} grows at most as devices^${EXPONENT_MAX} from 10,000 to 100,000`,
    passed: exponent <= EXPONENT_MAX,
    measured: exponent.toFixed(2),
  })),
];
