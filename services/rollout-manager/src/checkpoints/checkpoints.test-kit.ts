/** A canary and an experiment on a Kafka in memory, and rollout-managers that count them: how their evidence comes about, look by look. */
import { type Topic, topics } from "@tributary/contracts";
import { type Instant, type Random, seededRandom } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { generationOf, type LogEvent, RolloutController, rolloutSpec } from "@tributary/rollouts";
import { type ExperimentSpec, readExperiment } from "@tributary/rollouts/experiment";
import { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import {
  decidedFrame,
  followContext,
  MemoryKafka,
  type PolicyBehaviour,
  silentTelemetry,
  someBootId,
  somePrediction,
  somePredictions,
} from "@tributary/testing";
import { configSchema } from "../config.ts";
import { Watch } from "../watching/watch.ts";
import { Checkpoints, type CheckpointsOptions } from "./checkpoints.ts";

export const MINUTE = 60_000;
/** Midnight, so that days change in a longer story. */
export const T0 = 20_000 * 24 * 60 * MINUTE;
export const at = (minute: number): Instant => T0 + minute * MINUTE;
/** When the rollout and the experiment are. */
export const CREATED = 10.25;
const DEVICES = 20;
const [candidate, stable] = ["1b".repeat(32), "0a".repeat(32)];
const versions = ["a0".repeat(32), "b1".repeat(32)] as const;
const behaviours: readonly PolicyBehaviour[] = [
  { accuracy: 0.8, escalated: 0.3, late: 0.02 },
  { accuracy: 0.83, escalated: 0.2, late: 0.015 },
];
/** What the manager folds. */
export const folded = [topics.predictions, topics.metrics, topics.classifications, topics.groundTruth] as const;
const devicesOf = (kind: string) => Array.from({ length: DEVICES }, (_, i) => `${kind}-${i}`);
export const uids = { rollout: "the-rollout", experiment: "the-experiment" };

function experimentSpec(): ExperimentSpec {
  const { spec, problems } = readExperiment({
    apiVersion: "tributary.dev/v1",
    kind: "Experiment",
    metadata: { name: "edge-or-cloud" },
    spec: {
      arms: ["hybrid", "edge"].map((name, i) => ({ name, policy: versions[i] })),
      utility: { correct: 1, escalated: 0.01, late: 0.1, currency: "EUR" },
      rope: 0.02,
      lateMargin: 0.05,
      duration: "20d",
    },
  });
  if (spec === null) throw new Error(JSON.stringify(problems));
  return spec;
}

/** Of both, in log order: the canary's devices have the model, and the arms their policies. */
export function events(): readonly LogEvent[] {
  const spec = rolloutSpec.parse({
    apiVersion: "tributary.dev/v1",
    kind: "ModelRollout",
    metadata: { name: "edge" },
    spec: {
      model: "edge@2",
      strategy: { canary: { steps: [{ setWeight: 50 }, { analysis: { duration: "8h" } }, { setWeight: 100 }] } },
      metrics: [{ name: "accuracy" }, { name: "deadline-met" }],
      burnIn: "5m",
    },
  });
  const order = devicesOf("canary");
  const ofRollout = [
    {
      kind: "created",
      spec,
      modelDigest: candidate,
      stableDigest: stable,
      order,
      strata: order.map((_, i) => i % 2),
      segments: { classes: ["cat", "dog"], sites: [], siteOf: [] },
      latencyMsMax: 120,
    },
    { kind: "step-started", step: 0 },
    { kind: "step-finished", step: 0, evidence: {} },
    { kind: "step-started", step: 1 },
  ] as const;
  const ofExperiment = {
    kind: "experiment-created",
    spec: experimentSpec(),
    arms: versions.map((policyVersion) => ({ policyVersion, devices: DEVICES / 2 })),
    order: devicesOf("arm"),
    modelDigest: stable,
    cloudTarget: "default",
    deadlineMs: 200,
  } as const;
  const event = (uid: string, version: number, change: LogEvent["change"]) =>
    ({ uid, version, at: at(CREATED), by: "ann", change }) as LogEvent;
  return [...ofRollout.map((change, i) => event(uids.rollout, i + 1, change)), event(uids.experiment, 1, ofExperiment)];
}

/** What devices, router and labellers write until then. */
export function writtenBy(kafka: MemoryKafka, seed: number, minutes: number): void {
  const random = seededRandom(seed);
  const labels = new Map<number, (() => void)[]>();
  for (let minute = 1; minute <= minutes; minute++) {
    const timestamp = at(minute) - 10_000 + Math.floor(random() * 5_000);
    const later = (write: (timestamp: Instant) => void) => {
      const due = minute + Math.floor(random() * 20);
      labels.set(due, [...(labels.get(due) ?? []), () => write(at(due) - 2_000)]);
    };
    for (const [i, deviceId] of devicesOf("canary").entries())
      canaryMinute(kafka, random, { deviceId, i, minute, timestamp }, later);
    for (const [i, deviceId] of devicesOf("arm").entries())
      armMinute(kafka, random, { deviceId, i, minute, timestamp }, later);
    for (const write of labels.get(minute) ?? []) write();
    labels.delete(minute);
  }
}

type Minute = { readonly deviceId: string; readonly i: number; readonly minute: number; readonly timestamp: Instant };
type Later = (write: (timestamp: Instant) => void) => void;

function canaryMinute(
  kafka: MemoryKafka,
  random: Random,
  { deviceId, i, minute, timestamp }: Minute,
  later: Later,
): void {
  const hasCandidate = minute > CREATED && i < DEVICES / 2;
  const predictions = Array.from({ length: 8 }, (_, j) => {
    const truth = random() < 0.5 ? "cat" : "dog";
    const isRight = random() < (hasCandidate ? 0.9 : 0.88) + 0.002 * (i % 5);
    const label = isRight ? truth : "bird";
    const samplePropensity = 0.01 + 0.6 * random();
    const sampleDrawn = random() < samplePropensity;
    const frameSeq = BigInt(100 * minute + j);
    if (sampleDrawn && random() < 0.8) later((when) => labelled(kafka, deviceId, frameSeq, truth, when));
    const latencyMs = 60 + 70 * random();
    const ageMs = 10 + Math.floor(50_000 * random());
    return somePrediction({ frameSeq, label, samplePropensity, sampleDrawn, latencyMs, ageMs });
  });
  const modelDigest = hasCandidate ? candidate : stable;
  const batch = somePredictions({ deviceId, seq: BigInt(minute), modelDigest, predictions });
  kafka.put(topics.predictions, deviceId, batch, { timestamp });
}

function armMinute(kafka: MemoryKafka, random: Random, { deviceId, i, minute, timestamp }: Minute, later: Later): void {
  const arm = minute > CREATED && i >= DEVICES / 2 ? 1 : 0;
  const [policyVersion, name] = [versions[arm] as string, ["hybrid", "edge"][arm] as string];
  const frames = Array.from({ length: 8 }, (_, j) => {
    const frameSeq = BigInt(100 * minute + j);
    const samplePropensity = 0.05 + 0.5 * random();
    const sampleDrawn = random() < samplePropensity;
    if (sampleDrawn && random() < 0.8) later((when) => labelled(kafka, deviceId, frameSeq, "cat", when));
    const frame = { frameSeq, ageMs: 10 + Math.floor(20_000 * random()), sampleDrawn, samplePropensity, latencyMs: 9 };
    return decidedFrame(
      frame,
      { policyVersion, arm: name, modelDigest: stable },
      behaviours[arm] as PolicyBehaviour,
      random,
    );
  });
  const predictions = frames.map(({ prediction }) => prediction);
  const isNamed = minute > CREATED;
  const batch = somePredictions({
    deviceId,
    seq: BigInt(minute),
    modelDigest: stable,
    policyVersion,
    arm: isNamed ? name : "default",
    predictions,
  });
  kafka.put(topics.predictions, deviceId, batch, { timestamp });
  const answers = frames.map(({ answer }) => answer);
  // Some of a drawn frame's two records are in another minute.
  const record = { deviceId, bootId: someBootId, answers };
  if (random() < 0.5) kafka.put(topics.classifications, deviceId, record, { timestamp });
  else later((when) => kafka.put(topics.classifications, deviceId, record, { timestamp: when }));
}

function labelled(kafka: MemoryKafka, deviceId: string, frameSeq: bigint, label: string, timestamp: Instant): void {
  const by = {
    source: "PERSON",
    labelledBy: "ann",
    labelledAt: T0,
    labelSet: null,
    comment: null,
    frameAt: null,
  } as const;
  kafka.put(
    topics.groundTruth,
    deviceId,
    { deviceId, bootId: someBootId, cameraId: "cam", frameSeq, label, ...by },
    { timestamp },
  );
}

export type RunOptions = {
  readonly from: number;
  readonly until: number;
  /** False: it ends as by kill -9. */
  readonly isStopped?: boolean;
  readonly settings?: Partial<Pick<CheckpointsOptions, "epoch" | "propensityMean" | "everyMs">>;
  /** Control: it reads no checkpoint. */
  readonly isWithout?: boolean;
};

export type Run = {
  /** By minute: the evidence, and what would be appended. */
  readonly looks: ReadonlyMap<number, string>;
  readonly metrics: string;
};

/** A rollout-manager that starts at a minute and ends after the look of another. */
export async function run(
  kafka: MemoryKafka,
  { from, until, isStopped = true, settings, isWithout }: RunOptions,
): Promise<Run> {
  const looks = new Map<number, string>();
  const stop = new AbortController();
  let now = at(from);
  const clock = {
    now: () => now,
    monotonicMs: () => now,
    // A write in the background ends before the clock goes on.
    sleep: async (ms: number) => {
      do for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
      while (checkpoints.isWriting);
      now += ms;
      read();
    },
  };
  const telemetry = silentTelemetry();
  const config = configSchema.parse({});
  const { judge, limits } = config;
  const fleet = new FleetMetrics();
  const controller = new RolloutController(fleet, { lookEveryMs: judge.lookEveryMs });
  const log = events();
  let [applied, onEvent] = [0, () => {}];
  const read = () => {
    for (; applied < log.length && (log[applied] as LogEvent).at <= now; applied++) {
      const outcome = controller.applied(log[applied] as LogEvent, generationOf(0, BigInt(applied)));
      if (outcome.kind !== "counts") throw new Error(`event ${applied}: ${outcome.reason}`);
      onEvent();
    }
  };
  read();
  const checkpoints = new Checkpoints({
    epoch: 0,
    propensityMean: judge.propensityMean,
    everyMs: 5 * MINUTE,
    sink: kafka,
    clock,
    telemetry,
    ...settings,
  });
  const following = new AbortController();
  const followed = await checkpoints.follow(followContext(kafka, following.signal));
  await followed.caughtUp;
  const look = controller.look.bind(controller);
  controller.look = (moment) => {
    look(moment);
    const proposed = [...controller.propose(moment), ...controller.experiments.propose(moment)];
    const seen = [controller.evidence(uids.rollout), controller.experiments.evidence(uids.experiment), proposed];
    looks.set((moment - T0) / MINUTE, JSON.stringify(seen));
    if (moment >= at(until)) stop.abort();
  };
  const watch = new Watch({
    controller,
    models: new ModelTable(),
    metrics: fleet,
    slices: kafka,
    judge,
    limits,
    goneMs: 24 * 60 * MINUTE,
    checkpoints: {
      newest: async () => (isWithout ? null : checkpoints.newest()),
      leftOut: (...why) => checkpoints.leftOut(...why),
      looked: (...what) => checkpoints.looked(...what),
      last: async (of) => {
        if (isStopped) await checkpoints.last(of);
      },
    },
    onFrames: () => {},
    clock,
    random: seededRandom(1),
    telemetry,
  });
  onEvent = () => watch.changed();
  await watch.run(stop.signal);
  await clock.sleep(0); // Also of one that is killed: a write that has begun would else end at some time.
  following.abort();
  return { looks, metrics: await telemetry.metrics() };
}

/** Retention: what is stamped before a minute is gone, of everything that is folded. */
export function forget(kafka: MemoryKafka, minute: number): void {
  for (const topic of folded as readonly Topic[]) {
    const [first] = kafka.records(topic).filter(({ timestamp }) => timestamp >= at(minute));
    const [record] = kafka.records(topic);
    const earliest = first?.offset ?? (record === undefined ? 0n : BigInt(kafka.records(topic).length) + record.offset);
    kafka.clean(topic, () => true, earliest);
  }
}
