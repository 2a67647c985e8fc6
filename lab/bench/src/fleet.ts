/** `bench fleet`: the cost of aggregating and analysing the metrics of 100,000 devices.
 *
 * Both folds see the same records in the same order, and the looks of both find the same harm, or the bench fails. Each
 * figure is the least of its rounds: the time of the work on an otherwise idle core. Records are what an agent sends each
 * window: a dozen readings of the device, six metrics of one model. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { EdgeMetrics, PERCEPTION } from "@tributary/contracts";
import { invariant, seededRandom } from "@tributary/kernel";
import {
  assignCohorts,
  controlOf,
  type FleetDevice,
  RolloutController,
  reachedBy,
  rolloutSpec,
} from "@tributary/rollouts";
import { type FleetAnalysis, FleetMetrics, foldEdgeMetrics } from "@tributary/rollouts/fleet-metrics";
import {
  type Counts,
  CrossCheck,
  type MetricLook,
  MetricWatch,
  metricDefaults,
  plannedVariance,
} from "@tributary/rollouts/judge";
import type { Bench, BenchOptions, BenchReport, Gate, Table } from "./bench.ts";
import { lateLabelCosts, lateLabelGates, lateLabelTable } from "./fleet/late-labels.ts";
import { PlainFleet } from "./fleet/plain.ts";
import { sketchCosts, sketchGates, sketchTable } from "./fleet/sketches.ts";

const LOOK_MS_MAX = 150;
const BYTES_MAX = 200;
/** Linear, and some noise. */
const EXPONENT_MAX = 1.2;
/** A look passes over every count dozens of times: a small fleet's stay in a cache meanwhile, a large one's do not. */
const LOOK_EXPONENT_MAX = 1.3;
const SIZES = [1_000, 10_000, 100_000] as const;
/** Devices in both arms; with more a cross-check is not made. */
const CROSS_CHECKED = [100, 1_000, 4_000] as const;
const CROSS_CHECK_MS_MAX = 150;
const METRICS = ["accuracy", "deadline-met", "latency-met", "agreement"] as const;
const MINUTE = 60_000;
const STARTED = 20_000 * 86_400_000;
const MODEL = "a".repeat(64);
const STABLE = "b".repeat(64);

/** What one size of fleet costs. */
type Measured = {
  readonly devices: number;
  readonly cohortsMs: number;
  readonly lookMs: number;
  readonly plainLookMs: number;
  readonly tickMs: number;
  readonly bytes: number;
  readonly plainBytes: number;
  /** Records a second. */
  readonly decoded: number;
  readonly plainDecoded: number;
  readonly fromBytes: number;
  readonly decodedOnly: number;
};

export const fleet: Bench = {
  name: "fleet",
  summary: "100,000 devices: time of a look, memory, records per second, cohorts, and how they grow",
  details: `Fleets of ${SIZES.join(", ")} devices, a fifth canary, the rest control; ${METRICS.length} metrics.
  look          all metrics judged once after six hours, with every late start, beside the same from a map of objects
  tick          what rollout-manager does each time: look, propose, desired
  bytes         of heap and arrays for a device and metric, ids and dedupe included
  records       edge.metrics.v1 folded a second on one core, decoded already and from Avro's bytes
  cohorts       the fleet's assignment to strata and order
  drift         25,000 to 100,000 devices' sketches: bytes a device, records folded a second, one look for verdicts
  late labels   10,000 and 100,000 devices, of whose drawn frames 5 % get their label a day later: the frames are read from a log again
  cross-check   one look by re-randomisation at one metric of ${CROSS_CHECKED.join(", ")} devices, the most there may be
Gates at 100,000: a look at most ${LOOK_MS_MAX} ms; at most ${BYTES_MAX} bytes; a look grows at most as
devices^${LOOK_EXPONENT_MAX}, all else as devices^${EXPONENT_MAX}.
A cross-check takes at most ${CROSS_CHECK_MS_MAX} ms.
With --long each is measured five times as often.`,
  run,
};

const ratio = (value: number, digits = 2) => value.toFixed(digits);
const perSecond = (value: number) => Math.round(value).toLocaleString("en-US");

async function run({ isLong, progress }: BenchOptions): Promise<BenchReport> {
  const rounds = isLong ? 25 : 5;
  const all: Measured[] = [];
  for (const devices of SIZES) {
    all.push(measure(devices, rounds));
    progress(`${devices} devices measured`);
    await new Promise(setImmediate); // Lets Ctrl-C be handled.
  }
  progress("sketches of 100,000 devices");
  const sketches = await sketchCosts(rounds, usedBytes);
  progress("labels a day late");
  const lateLabels = await lateLabelCosts(usedBytes);
  const crossChecks = CROSS_CHECKED.map((devices) => ({ devices, ...crossCheckOf(devices, rounds) }));
  const [small, , large] = all as [Measured, Measured, Measured];
  /** Of what a whole fleet costs. */
  const exponentOf = (cost: (of: Measured) => number) =>
    Math.log(cost(large) / cost(small)) / Math.log(large.devices / small.devices);
  const growth = [
    { name: "one look", exponent: exponentOf(({ lookMs }) => lookMs), max: LOOK_EXPONENT_MAX },
    { name: "one tick", exponent: exponentOf(({ tickMs }) => tickMs) },
    { name: "a record of each device", exponent: exponentOf(({ devices, decoded }) => devices / decoded) },
    { name: "bytes", exponent: exponentOf(({ devices, bytes }) => devices * bytes) },
    { name: "cohorts", exponent: exponentOf(({ cohortsMs }) => cohortsMs) },
  ];
  return {
    tables: [
      {
        title: "A fleet's cost",
        columns: ["devices", "look, ms", "tick, ms", "cohorts, ms", "bytes", "records/s, decoded", "records/s, bytes"],
        rows: all.map((one) => [
          perSecond(one.devices),
          ratio(one.lookMs),
          ratio(one.tickMs),
          ratio(one.cohortsMs, 1),
          ratio(one.bytes, 0),
          perSecond(one.decoded),
          perSecond(one.fromBytes),
        ]),
      },
      besideMap(large),
      {
        title: "Growth from 1,000 to 100,000 devices",
        columns: ["cost", "exponent"],
        rows: growth.map(({ name, exponent }) => [name, ratio(exponent)]),
      },
      {
        title: "A cross-check by re-randomisation, one metric",
        columns: ["devices", "draws", "ms"],
        rows: crossChecks.map(({ devices, draws, ms }) => [perSecond(devices), perSecond(draws), ratio(ms, 1)]),
      },
      sketchTable(sketches),
      lateLabelTable(lateLabels),
    ],
    gates: [...gatesOf(large, crossChecks, growth), ...sketchGates(sketches), ...lateLabelGates(lateLabels)],
    figures: { sizes: all, growth, crossChecks, sketches, lateLabels },
    notes: [
      "Ratios above 1: ours is faster, or smaller. Ours also rejects invalid reports, separates two days, and bounds its memory.",
    ],
  };
}

const gatesOf = (
  large: Measured,
  crossChecks: readonly { readonly devices: number; readonly ms: number }[],
  growth: readonly { readonly name: string; readonly exponent: number; readonly max?: number }[],
): Gate[] => [
  {
    name: `a look at ${large.devices} devices takes at most ${LOOK_MS_MAX} ms`,
    passed: large.lookMs <= LOOK_MS_MAX,
    measured: `${large.lookMs.toFixed(1)} ms`,
  },
  {
    name: `at most ${BYTES_MAX} bytes per device and metric`,
    passed: large.bytes <= BYTES_MAX,
    measured: `${large.bytes.toFixed(0)} bytes`,
  },
  ...crossChecks.slice(-1).map(({ devices, ms }) => ({
    name: `a cross-check of ${devices} devices takes at most ${CROSS_CHECK_MS_MAX} ms`,
    passed: ms <= CROSS_CHECK_MS_MAX,
    measured: `${ms.toFixed(1)} ms`,
  })),
  ...growth.map(({ name, exponent, max = EXPONENT_MAX }) => ({
    name: `${name} grows at most as devices^${max}`,
    passed: exponent <= max,
    measured: exponent.toFixed(2),
  })),
];

const besideMap = (large: Measured): Table => ({
  title: `Beside a map of objects, at ${large.devices} devices`,
  columns: ["", "ours", "map of objects", "ratio"],
  rows: [
    ["look, ms", ratio(large.lookMs), ratio(large.plainLookMs), ratio(large.plainLookMs / large.lookMs)],
    [
      "bytes per device and metric",
      ratio(large.bytes, 0),
      ratio(large.plainBytes, 0),
      ratio(large.plainBytes / large.bytes),
    ],
    [
      "records/s, decoded",
      perSecond(large.decoded),
      perSecond(large.plainDecoded),
      ratio(large.decoded / large.plainDecoded),
    ],
    [
      "records/s, from bytes; beside decoding alone",
      perSecond(large.fromBytes),
      perSecond(large.decodedOnly),
      ratio(large.fromBytes / large.decodedOnly),
    ],
  ],
});

function measure(devices: number, rounds: number): Measured {
  const members = Array.from({ length: devices }, (_, i): FleetDevice => {
    const [hardwareClass, site] = [i % 3 === 0 ? "rpi4" : "rpi5", `site-${i % 40}`];
    return { deviceId: `device-${i}`, hardwareClass, camera: "cam", site, accuracyBefore: 0.8 + (i % 97) / 1_000 };
  });
  const cohortsMs = least(rounds, () => timed(() => assignCohorts(members, "salt")));
  const cohorts = assignCohorts(members, "salt");
  const [canary, control] = [reachedBy(cohorts, 20), controlOf(cohorts, 20, 4)];
  const ids = members.map(({ deviceId }) => deviceId);

  const emptyBytes = usedBytes();
  const ours = new FleetMetrics();
  history(ids, (id, metric, good, frames) => ours.observe(id, MODEL, metric, good, frames, STARTED - MINUTE));
  const analysis = ours.start({ uid: "bench", startedAt: STARTED, control, canary, metrics: METRICS });
  invariant(analysis !== null, "the analysis starts");
  since(ids, (id, metric, good, frames) => ours.observe(id, MODEL, metric, good, frames, STARTED + MINUTE));
  foldAll(ids, 1n, (record) => foldEdgeMetrics(ours, record, STARTED + MINUTE));
  const bytes = (usedBytes() - emptyBytes) / (devices * METRICS.length);

  const withOurs = usedBytes();
  const plain = new PlainFleet();
  history(ids, (id, metric, good, frames) => plain.observe(id, metric, good, frames, STARTED - MINUTE));
  plain.start(STARTED);
  since(ids, (id, metric, good, frames) => plain.observe(id, metric, good, frames, STARTED + MINUTE));
  foldAll(ids, 1n, (record) => plain.fold(record, STARTED + MINUTE));
  const plainBytes = (usedBytes() - withOurs) / (devices * METRICS.length);

  const look = looksOf(rounds, analysis, (metric) => analysis.counts(metric));
  const plainLook = looksOf(Math.ceil(rounds / 4), analysis, (metric) => plain.counts(metric, control, canary));
  for (const [i, one] of look.last.entries()) {
    const other = plainLook.last[i] as MetricLook;
    invariant(Math.abs(one.comparison.harm - other.comparison.harm) < 1e-9, "both folds find the same harm");
  }
  return {
    devices,
    cohortsMs,
    lookMs: look.ms,
    plainLookMs: plainLook.ms,
    bytes,
    plainBytes,
    tickMs: tickMs(ids, cohorts.order, ours, rounds),
    ...recordsPerSecond(ids, ours, plain, rounds),
  };
}

type Observe = (id: string, metric: string, good: number, frames: number) => void;

function history(ids: readonly string[], observe: Observe): void {
  for (const [i, id] of ids.entries()) {
    const own = Buffer.from(id).toString(); // A string of its own, as a record decodes it: the fold keeps it.
    for (const metric of METRICS) observe(own, metric, 800 + (i % 150), 1_000);
  }
}

function since(ids: readonly string[], observe: Observe): void {
  const random = seededRandom(1);
  for (const [i, id] of ids.entries())
    for (const metric of METRICS) observe(id, metric, 80 + (i % 15) + Math.floor(5 * random()), 100);
}

/** All metrics judged once, after six hours of looks: as many late starts as there ever are. */
function looksOf(
  rounds: number,
  analysis: FleetAnalysis,
  counts: (metric: string) => Counts,
): { readonly ms: number; readonly last: readonly MetricLook[] } {
  const [canaries, controls] = [analysis.plan.canary.length, analysis.plan.control.length];
  const planned = plannedVariance({ canaries, controls, rate: 0.9, frames: 100, deviceSd: 0.01 });
  const watches = METRICS.map(
    () => new MetricWatch({ ...metricDefaults, endMs: 360 * MINUTE, plannedVariance: planned }),
  );
  const lookAll = (minute: number, of: (metric: string) => Counts) =>
    METRICS.map((metric, i) => (watches[i] as MetricWatch).look(minute * MINUTE, of(metric)) as MetricLook);
  for (let minute = 30; minute <= 390; minute += 30) lookAll(minute, (metric) => analysis.counts(metric));
  let last: readonly MetricLook[] = [];
  const ms = least(2 * rounds, () =>
    timed(() => {
      last = lookAll(400, counts);
    }),
  );
  return { ms, last };
}

/** A fifth of the devices canary, in ten strata. */
function crossCheckOf(devices: number, rounds: number): { readonly draws: number; readonly ms: number } {
  const random = seededRandom(2);
  const armOf = (size: number) => ({
    good: Float64Array.from({ length: size }, () => 80 + Math.floor(20 * random())),
    frames: new Float64Array(size).fill(100),
    before: Float64Array.from({ length: size }, () => 0.85 + 0.1 * random()),
  });
  const counts = { canary: armOf(devices / 5), control: armOf((devices / 5) * 4) };
  const strataOf = ({ frames }: { readonly frames: Float64Array }) => frames.map((_, i) => i % 10);
  const strata = { canary: strataOf(counts.canary), control: strataOf(counts.control) };
  const begin = () => new CrossCheck({ alpha: metricDefaults.alpha, plannedMs: [MINUTE], strata, seed: 1 });
  const ms = least(rounds, () => {
    const check = begin();
    return timed(() => check.look(MINUTE, counts));
  });
  return { draws: begin().draws, ms };
}

/** A tick of the controller in the midst of an analysis, with every device known. */
function tickMs(ids: readonly string[], order: readonly string[], metrics: FleetMetrics, rounds: number): number {
  const spec = rolloutSpec.parse({
    apiVersion: "tributary.dev/v1",
    kind: "ModelRollout",
    metadata: { name: "bench" },
    spec: {
      model: "edge@2",
      strategy: { canary: { steps: [{ setWeight: 20 }, { analysis: { duration: "6h" } }, { setWeight: 100 }] } },
      metrics: METRICS.map((name) => ({ name, alpha: 0.01 })),
    },
  });
  const controller = new RolloutController(metrics, { lookEveryMs: 0 });
  const created = { kind: "created", spec, modelDigest: MODEL, stableDigest: STABLE, order } as const;
  const changes = [
    created,
    { kind: "step-started", step: 0 },
    { kind: "step-finished", step: 0, evidence: {} },
    { kind: "step-started", step: 1 },
  ] as const;
  for (const [i, change] of changes.entries())
    controller.applied({ uid: "tick", version: i + 1, at: STARTED, by: "bench", change }, BigInt(i + 1));
  for (const deviceId of ids) {
    const state = { generation: 2n, modelDigest: STABLE, goldenPassed: true, update: null, at: STARTED };
    controller.devices.reported(deviceId, PERCEPTION, state);
  }
  since(ids, (id, metric, good, frames) => metrics.observe(id, MODEL, metric, good, frames, STARTED + MINUTE));
  let now = STARTED + 10 * MINUTE;
  const ms = least(2 * rounds, () => {
    now += MINUTE;
    return timed(() => {
      controller.look(now);
      controller.propose(now);
      controller.devices.desired(now);
    });
  });
  metrics.end("tick");
  return ms;
}

function recordsPerSecond(ids: readonly string[], ours: FleetMetrics, plain: PlainFleet, rounds: number) {
  const at = STARTED + 2 * MINUTE;
  const encoded = ids.map((id) => EdgeMetrics.encodeConfluent(recordOf(id, 2n)));
  const rate = (seq: (round: number) => bigint, fold: (record: EdgeMetrics) => void, isDecoded: boolean) => {
    let round = 0;
    const ms = least(rounds, () => {
      round += 1;
      const stamp = seq(round);
      // Each round's records are new ones; made before, so that only the fold is measured.
      const records = isDecoded ? ids.map((id) => recordOf(id, stamp)) : [];
      return timed(() => {
        if (isDecoded) for (const record of records) fold(record);
        else for (const bytes of encoded) fold({ ...EdgeMetrics.decodeConfluent(bytes), seq: stamp });
      });
    });
    return (1_000 * ids.length) / ms;
  };
  return {
    decoded: rate(
      (round) => BigInt(10 + round),
      (record) => foldEdgeMetrics(ours, record, at),
      true,
    ),
    plainDecoded: rate(
      (round) => BigInt(10 + round),
      (record) => plain.fold(record, at),
      true,
    ),
    fromBytes: rate(
      (round) => BigInt(1_000 + round),
      (record) => foldEdgeMetrics(ours, record, at),
      false,
    ),
    decodedOnly: rate(
      (round) => BigInt(1_000 + round),
      (record) => plain.fold(record, at),
      false,
    ),
  };
}

function foldAll(ids: readonly string[], seq: bigint, fold: (record: EdgeMetrics) => void): void {
  for (const id of ids) fold(recordOf(id, seq));
}

function recordOf(deviceId: string, seq: bigint): EdgeMetrics {
  const moments = (n: bigint, sum: number) => ({ n, sum, sumSq: sum });
  const readings = ["outbox_bytes", "outbox_rows", "process_resident_memory_bytes", "cpu_temperature_celsius"];
  const device = Object.fromEntries(
    ["", "_max", "_min"].flatMap((suffix) => readings.map((name) => [`${name}${suffix}`, moments(1n, 12)])),
  );
  const metrics = Object.fromEntries(
    ["answer_latency_ms", "inference_latency_ms", "confidence", "escalated", "dropped", "sla_missed"].map((name) => [
      name,
      moments(20n, 2),
    ]),
  );
  return {
    deviceId,
    bootId: 5n,
    seq,
    windowMs: 10_000,
    ageMs: 20,
    clockState: "SYNCHRONIZED",
    device,
    models: [{ modelDigest: MODEL, metrics }],
  };
}

function timed(work: () => void): number {
  const startedMs = performance.now();
  work();
  return performance.now() - startedMs;
}

function least(rounds: number, measureOnce: () => number): number {
  measureOnce(); // Warm.
  return Math.min(...Array.from({ length: rounds }, measureOnce));
}

/** Heap and array buffers in use, after a collection. */
function usedBytes(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
