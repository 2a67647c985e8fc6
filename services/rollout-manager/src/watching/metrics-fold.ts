/**
 * Folds the records of devices, router and labellers into the fleet's metrics, up to any moment of record time.
 *
 * `accuracy`: labelled frames of the random sample (label-join.ts). `agreement`: cloud and edge on the random sample; it is
 * agreement and never called accuracy. `deadline-met` and `latency-met`: frames within what the device's rollout allows, the
 * same for both arms and never the candidate's own budget, from each frame's latency. Frames of a camera with a deadline that LITE or
 * nothing answered count as missed by the model that the device's other frames are of: a candidate that hangs would have no late ones. Nothing
 * else of them counts. The count of a device against the
 * budget of its model (`sla_missed`) is not used, whichever agent reports it. Replayed records and absurd numbers are
 * refused by the fold (fleet-metrics); a device that sends only such is silent. The model of a device's newest frame is kept
 * beside the one that it reports. Prometheus' answers count as metrics.observations.v1 has them, whichever instance asked:
 * the first record of a moment and device. The problem of a metric is that of the newest record.
 *
 * `system-accuracy`, `escalated` and `in-time` are of the policy that decided, under its version, whatever answered the frame
 * on the device: what experiments compare, and what the rollout of a policy is judged by (system-answers.ts).
 */
import {
  type Classifications,
  type EdgePredictions,
  type GroundTruth,
  type MetricObservations,
  type Topic,
  topics,
} from "@tributary/contracts";
import { handOver, type InRecord, type PartitionReader } from "@tributary/kafka";
import { formatFrameId, type Instant } from "@tributary/kernel";
import type { Experiments } from "@tributary/rollouts/experiment";
import {
  type FleetMetrics,
  foldEdgeMetrics,
  LatencyHistory,
  type LatencyHistoryState,
} from "@tributary/rollouts/fleet-metrics";
import type { Telemetry } from "@tributary/telemetry";
import { labelsTaken } from "../events.ts";
import { LabelJoin, type LabelJoinLimits, type LabelJoinState, weightOf } from "./label-join.ts";
import { LateFrames } from "./late-frames.ts";
import { Newest } from "./newest.ts";
import { answerOf, DrawnAnswers, type DrawnAnswersState, isWanted, type SystemAnswer } from "./system-answers.ts";
import { TopicSlices } from "./topic-slices.ts";

export type ByFrames = { readonly modelDigest: string; readonly at: Instant };

/** In ms, from capture to the answer. */
export type LatencyLimits = { readonly deadlineMs: number; readonly latencyMs: number };

export type MetricsFoldOptions = {
  readonly reader: PartitionReader;
  readonly fleet: FleetMetrics;
  readonly experiments: Pick<Experiments, "framesOf" | "sampled" | "settled">;
  readonly telemetry: Telemetry;
  readonly propensityMean: number;
  readonly limits: LabelJoinLimits;
  /** What this device's frames are compared with, in ms; undefined: nothing is known. */
  readonly limitsOf: (deviceId: string, modelDigest: string) => LatencyLimits | undefined;
  /** When the rollout was created; undefined: there is none, or it has no such metric. */
  readonly createdAt: (uid: string, metric: string) => Instant | undefined;
  /** The problem of a rollout's metric; null: none. */
  readonly noted: (uid: string, metric: string, words: string | null) => void;
  /** A record was read. */
  readonly onRecord: () => void;
};

/** What a restarted instance needs, beside what the fleet and the experiments have counted. */
export type MetricsFoldState = {
  /** By topic and partition: the first record that is not folded. */
  readonly next: ReadonlyMap<string, ReadonlyMap<number, bigint>>;
  readonly join: LabelJoinState;
  readonly drawn: DrawnAnswersState;
  readonly byFrames: ReadonlyMap<string, ByFrames>;
  readonly seen: ReadonlyMap<string, true>;
  readonly latencies: LatencyHistoryState;
};

const ANSWERS_SEEN_MAX = 50_000;
/** Labels in memory before their frames are sought, so that a large import needs no more. */
const LABELS_AT_ONCE = 20_000;
const OBSERVED_DEVICES_MAX = 1_000;
/** A record later than this is refused, or one instance with a wrong clock would make those of the others count as old. */
const AHEAD_MS_MAX = 60_000;

export class MetricsFold {
  readonly latencies = new LatencyHistory();
  readonly #options: MetricsFoldOptions;
  readonly #join: LabelJoin;
  readonly #late: LateFrames;
  readonly #drawn: DrawnAnswers;
  readonly #slices: readonly TopicSlices[];
  readonly #labels: TopicSlices;
  readonly #observations: TopicSlices;
  readonly #topics: ReadonlyMap<string, TopicSlices>;
  readonly #byFrames = new Map<string, ByFrames>();
  readonly #digests = new Map<string, string>();
  readonly #seen = new Newest<true>(ANSWERS_SEEN_MAX);
  #touched = new Set<string>();
  #to: Instant | null = null;
  #round = { to: Number.NEGATIVE_INFINITY, signal: new AbortController().signal };
  /** Labels of one partition are not read while others are being counted. */
  #counting: Promise<void> | null = null;

  constructor(options: MetricsFoldOptions) {
    this.#options = options;
    this.#join = new LabelJoin(options.limits, options.propensityMean);
    this.#late = new LateFrames(options);
    this.#drawn = new DrawnAnswers(options.limits.drawnFramesMax);
    const slices = <T>(topic: Topic<T>, fold: (value: T, record: InRecord) => void) =>
      new TopicSlices(options.reader, topic as Topic, (record) => this.#take(topic, record, fold));
    this.#slices = [
      slices(topics.predictions, (value, record) => this.#predictions(value, record.timestamp)),
      slices(topics.metrics, (value, record) => {
        foldEdgeMetrics(options.fleet, value, record.timestamp);
      }),
      slices(topics.classifications, (value, record) => this.#answers(value, record.timestamp)),
    ];
    this.#labels = new TopicSlices(options.reader, topics.groundTruth as Topic, (record) => this.#label(record));
    this.#observations = slices(topics.observations, (value, record) => this.#observed(value, record.timestamp));
    const [predictions, metrics, classifications] = this.#slices as [TopicSlices, TopicSlices, TopicSlices];
    this.#topics = new Map([
      [topics.predictions.name, predictions],
      [topics.metrics.name, metrics],
      [topics.classifications.name, classifications],
      [topics.groundTruth.name, this.#labels],
      [topics.observations.name, this.#observations],
    ]);
  }

  /** It shares what it holds: write it down before anything else is folded. */
  state(): MetricsFoldState {
    return {
      next: new Map([...this.#topics].map(([name, slices]) => [name, slices.next])),
      join: this.#join.state(),
      drawn: this.#drawn.state(),
      byFrames: this.#byFrames,
      seen: this.#seen.state(),
      latencies: this.latencies.state(),
    };
  }

  /** How many records that such a state has not folded retention has deleted; null: a topic is another one by now. */
  async lostSince({ next }: Pick<MetricsFoldState, "next">): Promise<bigint | null> {
    let lost = 0n;
    for (const [name, slices] of this.#topics) {
      const missing = await slices.lostSince(next.get(name) ?? new Map());
      if (missing === null) return null;
      lost += missing;
    }
    return lost;
  }

  /** Instead of `start`. `at`: everything up to here was folded. */
  restore({ next, join, drawn, byFrames, seen, latencies }: MetricsFoldState, at: Instant): void {
    for (const [name, slices] of this.#topics) slices.resume(next.get(name) ?? new Map());
    this.#join.restore(join);
    this.#drawn.restore(drawn);
    for (const [deviceId, { modelDigest, at: newest }] of byFrames)
      this.#byFrames.set(deviceId, { modelDigest: this.#shared(modelDigest), at: newest });
    for (const frame of seen.keys()) this.#seen.set(frame, true);
    this.latencies.restore(latencies);
    this.#touched = new Set(byFrames.keys());
    this.#to = at;
  }

  /** Everything up to here is folded; null: nothing yet. */
  get foldedTo(): Instant | null {
    return this.#to;
  }

  byFrames(deviceId: string): ByFrames | undefined {
    return this.#byFrames.get(deviceId);
  }

  /** Devices with frames since the last call. */
  takeTouched(): ReadonlySet<string> {
    const touched = this.#touched;
    this.#touched = new Set();
    return touched;
  }

  /** `observedFrom`: observations of active rollouts are read from their creation on. */
  async start(at: Instant, observedFrom: Instant): Promise<void> {
    this.#join.start(at);
    const started = [...this.#slices, this.#labels].map((slices) => slices.start(at));
    await Promise.all([...started, this.#observations.start(Math.min(at, observedFrom))]);
  }

  /** May be repeated after a failure: what was folded is not folded again. `horizon`: what will be folded soon. */
  async foldTo(to: Instant, horizon: Instant, signal: AbortSignal): Promise<void> {
    const all = [...this.#slices, this.#observations];
    const read = await Promise.allSettled(all.map((slices) => slices.read(to, horizon, signal)));
    for (const result of read) if (result.status === "rejected") throw result.reason;
    this.#round = { to, signal };
    await this.#labels.read(to, horizon, signal); // Their frames are known by now, or are in the log.
    await this.#countLabels();
    if (!signal.aborted) this.#to = to;
  }

  #label(record: InRecord): void | Promise<void> {
    if (this.#counting !== null) return this.#counting.then(() => this.#label(record));
    this.#take(topics.groundTruth, record, (value: GroundTruth) => this.#join.labelled(value, record));
    if (this.#join.labels < LABELS_AT_ONCE) return;
    this.#counting = this.#countLabels().finally(() => {
      this.#counting = null;
    });
    return this.#counting;
  }

  /** Before a look, so that what it sees depends on the log alone: also frames that are in the log only are waited for. */
  async #countLabels(): Promise<void> {
    const { to, signal } = this.#round;
    const { fleet, telemetry, experiments } = this.#options;
    const sought = this.#join.sought();
    const found = await this.#late.find(sought, to, signal);
    if (signal.aborted) return;
    for (const judgement of this.#join.take(to, found)) {
      const { deviceId, metric, digest, good, frames, at, label, expected, isRetracted } = judgement;
      if (metric === "system-accuracy")
        experiments.sampled(deviceId, digest, "labelled", expected, at, isRetracted ? -1 : 1);
      if (isRetracted) fleet.retract(deviceId, digest, metric, good, frames, at, label);
      else {
        const { stale } = fleet.refused;
        const isTaken = fleet.observe(deviceId, digest, metric, good, frames, at, label, 1);
        if (!isTaken && fleet.refused.stale === stale) this.#join.refused(judgement);
      }
    }
    for (const [outcome, count] of this.#join.takeOutcomes()) telemetry.emit(labelsTaken, { outcome, count });
  }

  #take<T>(topic: Topic<T>, record: InRecord, fold: (value: T, record: InRecord) => void): void {
    this.#options.onRecord();
    handOver(this.#options.telemetry, topic, record, (value) => value !== null && fold(value, record));
  }

  #predictions(batch: EdgePredictions, receivedAt: Instant): void {
    const { fleet, limitsOf } = this.#options;
    const { deviceId, bootId, seq, modelDigest, predictions } = batch;
    if (!fleet.isNew(deviceId, "predictions", bootId, seq)) return;
    const limits = limitsOf(deviceId, modelDigest);
    let newest = Number.NEGATIVE_INFINITY;
    const counts = new Map<string, { frames: number; deadline: number; latency: number }>();
    const digest = this.#shared(modelDigest);
    for (const prediction of predictions) {
      const { ageMs, latencyMs, level } = prediction;
      if (!(ageMs >= 0)) continue;
      const at = receivedAt - ageMs;
      this.#join.predicted(batch, prediction, at, receivedAt);
      if (level !== "FULL") {
        this.#missed(deviceId, at);
        continue;
      }
      newest = Math.max(newest, at);
      if (latencyMs === 0) continue; // A device that does not measure it.
      if (!(latencyMs > 0) || !Number.isFinite(latencyMs)) {
        fleet.refuseMalformed();
        continue;
      }
      this.latencies.add(deviceId, digest, latencyMs);
      if (limits === undefined) continue;
      // A frame is of its world model, too.
      for (const of of prediction.worldDigest === null ? [digest] : [digest, this.#shared(prediction.worldDigest)]) {
        const count = counts.get(of) ?? { frames: 0, deadline: 0, latency: 0 };
        counts.set(of, count);
        count.frames += 1;
        if (latencyMs <= limits.deadlineMs) count.deadline += 1;
        if (latencyMs <= limits.latencyMs) count.latency += 1;
      }
    }
    this.#decided(batch, receivedAt); // Labels wait for these frames by now.
    if (newest < 0) return;
    for (const [of, { frames, deadline, latency }] of counts) {
      fleet.observe(deviceId, of, "deadline-met", deadline, frames, newest);
      fleet.observe(deviceId, of, "latency-met", latency, frames, newest);
    }
    const known = this.#byFrames.get(deviceId);
    if (known !== undefined && newest <= known.at) return;
    this.#byFrames.set(deviceId, { modelDigest: digest, at: newest });
    this.#touched.add(deviceId);
  }

  /** By its policy, also where its model did not answer. */
  #decided({ deviceId, bootId, policyVersion, arm, predictions }: EdgePredictions, receivedAt: Instant): void {
    const { fleet, experiments } = this.#options;
    let [frames, wanted, newest] = [0, 0, Number.NEGATIVE_INFINITY];
    for (const prediction of predictions) {
      const at = receivedAt - prediction.ageMs;
      if (!(prediction.ageMs >= 0)) continue;
      const { cameraId, frameSeq, sampleDrawn, latencyMs } = prediction;
      frames += 1;
      newest = Math.max(newest, at);
      if (isWanted(prediction)) wanted += 1;
      else if (!sampleDrawn && latencyMs > 0)
        experiments.settled(deviceId, policyVersion, at, { latencyMs, costMicros: 0 });
      if (!sampleDrawn) continue;
      experiments.sampled(deviceId, policyVersion, "drawn", prediction.sampleCorrectness, at);
      const frame = formatFrameId({ deviceId, bootId, cameraId, frameSeq });
      this.#answered(deviceId, frame, this.#drawn.predicted(frame, prediction));
    }
    if (frames === 0) return;
    fleet.observe(deviceId, policyVersion, "escalated", wanted, frames, newest);
    experiments.framesOf(deviceId, policyVersion, arm, newest);
  }

  /** Of a drawn frame; undefined: its other record is still to come. */
  #answered(deviceId: string, frame: string, answer: SystemAnswer | undefined): void {
    if (answer === undefined) return;
    const { fleet, experiments } = this.#options;
    const { policyVersion, isLate, at } = answer;
    fleet.observe(deviceId, policyVersion, "in-time", isLate ? 0 : 1, 1, at);
    experiments.settled(deviceId, policyVersion, at, answer);
    this.#join.answered(frame, answer);
  }

  /** Of a frame that the device's model did not answer. */
  #missed(deviceId: string, at: Instant): void {
    const known = this.#byFrames.get(deviceId);
    if (known === undefined) return;
    for (const metric of ["deadline-met", "latency-met"]) {
      this.#options.fleet.observe(deviceId, known.modelDigest, metric, 0, 1, at);
    }
    this.#touched.add(deviceId);
  }

  #answers({ deviceId, bootId, answers }: Classifications, writtenAt: Instant): void {
    const { fleet, experiments, propensityMean } = this.#options;
    const settled = new Map<string, { frames: number; inTime: number; newest: Instant }>();
    for (const answer of answers) {
      const { cameraId, frameSeq, cloudLabel, edgeLabel, modelDigest, latencyMs, level, policyVersion } = answer;
      const at = writtenAt - Math.max(0, latencyMs);
      const frame = formatFrameId({ deviceId, bootId, cameraId, frameSeq });
      const isOnDevice = answer.settledBy === "KEPT" || answer.settledBy === "DEVICE_DROPPED";
      // Of several answers the first holds (G2). Those kept on the device are too many to remember, and never late.
      if (!isOnDevice && !this.#isFirst(frame)) continue;
      if (answer.sampleDrawn) this.#answered(deviceId, frame, this.#drawn.answered(frame, answer, at));
      else {
        const system = answerOf(answer, at);
        const count = settled.get(policyVersion) ?? { frames: 0, inTime: 0, newest: at };
        settled.set(policyVersion, count);
        count.frames += 1;
        if (!system.isLate) count.inTime += 1;
        count.newest = Math.max(count.newest, at);
        if (!isOnDevice) experiments.settled(deviceId, policyVersion, at, system);
      }
      const weight = weightOf(answer, propensityMean);
      if (level !== "FULL" || cloudLabel === null || weight === null) continue;
      fleet.observe(
        deviceId,
        modelDigest,
        "agreement",
        cloudLabel === edgeLabel ? weight : 0,
        weight,
        at,
        undefined,
        1,
      );
    }
    for (const [policyVersion, { frames, inTime, newest }] of settled) {
      fleet.observe(deviceId, policyVersion, "in-time", inTime, frames, newest);
    }
  }

  #isFirst(frame: string): boolean {
    if (this.#seen.has(frame)) return false;
    this.#seen.set(frame, true);
    return true;
  }

  #observed({ rolloutUid, metric, at, devices, problem }: MetricObservations, writtenAt: Instant): void {
    const { fleet, createdAt, noted } = this.#options;
    const pastTo = createdAt(rolloutUid, metric);
    if (pastTo === undefined) return;
    if (devices.length > OBSERVED_DEVICES_MAX) throw new Error(`${devices.length} devices in one record`);
    if (at > writtenAt + AHEAD_MS_MAX) throw new Error(`it is of ${at - writtenAt} ms after it was written`);
    const newest = fleet.countedTo(rolloutUid, metric) ?? Number.NEGATIVE_INFINITY;
    for (const { deviceId, good, total } of devices) {
      fleet.counted(rolloutUid, metric, deviceId, { good, total, at }, pastTo);
    }
    if (at > newest || (at === newest && devices.length > 0)) noted(rolloutUid, metric, problem);
  }

  #shared(digest: string): string {
    const known = this.#digests.get(digest);
    if (known !== undefined) return known;
    if (this.#digests.size >= 10_000) this.#digests.clear();
    this.#digests.set(digest, digest);
    return digest;
  }
}
