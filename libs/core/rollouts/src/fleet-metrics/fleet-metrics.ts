/** Metrics of a whole fleet, folded into counts: per device and metric, good frames and all frames.
 *
 *     const fleet = new FleetMetrics()
 *     foldEdgeMetrics(fleet, record, receivedAt)              // edge.metrics.v1, with dedupe
 *     if (fleet.isNew(deviceId, "predictions", bootId, seq))  // other streams: ask first, then observe
 *       fleet.observe(deviceId, modelDigest, "accuracy", good, frames, at)
 *     const analysis = fleet.start({ uid, startedAt, control, canary, metrics: ["accuracy"] })
 *     watch.look(now - analysis.plan.startedAt, analysis.counts("accuracy"))
 *     fleet.end(uid)
 *     fleet.counted(uid, metric, deviceId, sample, createdAt)  // counters of an external monitoring system
 *
 * Counts are doubles: an observation may carry weight, e.g. 1/propensity of a sampled frame. The past of a device is its last
 * whole day and the current day (UTC): at least 24 h, or all there is. Everything is bounded: devices, metrics, analyses. What
 * is beyond is refused and counted (G9). Typed arrays that grow by half: about 100 bytes a device and metric with an analysis
 * over all of them (bench fleet).
 *
 * F2. A number that no device can mean (NaN, below 0, more good frames than frames, beyond `FRAMES_MAX`) is refused and
 *     counted; nothing of it is folded, and a device that only sends such is silent, not healthy. So are more frames than a
 *     device can have had in the time there was (`framesPlausible`): how many frames a device claims must not make it louder
 *     than others. */
import { type Instant, isValidId } from "@tributary/kernel";
import { type AnalysisPlan, FleetAnalysis, type FleetAnalysisState, subtract } from "./analysis.ts";
import { type CounterSample, Counters, type CountersState, isCounter } from "./counters.ts";
import { framesPlausible } from "./plausible.ts";
import { Watermarks, type WatermarksState } from "./watermarks.ts";

export type Stream = "metrics" | "predictions" | "reported";

/** Why something was not folded, and how often. */
export type Refusals = {
  readonly malformed: number;
  readonly replayed: number;
  readonly oldBoot: number;
  /** Seen before the last whole day of its device: no use any more. */
  readonly stale: number;
  readonly overLimit: number;
  /** More frames than there was time for. */
  readonly implausible: number;
};

export type FleetLimits = {
  readonly devicesMax: number;
  readonly metricsMax: number;
  readonly analysesMax: number;
  /** Devices whose counters are kept, those of all rollouts and metrics together. */
  readonly countersMax: number;
};
const limitsDefault: FleetLimits = {
  devicesMax: 1_000_000,
  metricsMax: 32,
  analysesMax: 256,
  countersMax: 2_000_000,
};

/** Frames of one observation; a day of 1,000 frames a second is below. */
export const FRAMES_MAX = 1e8;
const DAY_MS = 86_400_000;
const TIME_MAX = 8.64e15;

/** One metric of all devices: the current day and the one before it. */
type Lane = {
  readonly metric: string;
  day: Int32Array;
  good: Float64Array;
  frames: Float64Array;
  goodBefore: Float64Array;
  framesBefore: Float64Array;
};

/** What a restarted instance needs. */
export type FleetMetricsState = {
  readonly indexes: ReadonlyMap<string, number>;
  readonly free: readonly number[];
  readonly lanes: ReadonlyMap<string, Readonly<Lane>>;
  readonly analyses: ReadonlyMap<string, FleetAnalysisState>;
  readonly watermarks: ReadonlyMap<Stream, WatermarksState>;
  readonly counters: ReadonlyMap<string, ReadonlyMap<string, CountersState>>;
  readonly seenAt: Float64Array;
  readonly refused: Refusals;
};

/** Of a restored state, by uid: analyses that nothing runs any more, and running ones that it does not have. */
export type Unrestored = { readonly ended: readonly string[]; readonly missing: readonly string[] };

type Running = {
  readonly analysis: FleetAnalysis;
  readonly pastFrom: Instant /** Place + 1. */;
  readonly places: Int32Array;
};

export class FleetMetrics {
  readonly #limits: FleetLimits;
  readonly #indexes = new Map<string, number>();
  readonly #free: number[] = [];
  readonly #lanes = new Map<string, Lane>();
  readonly #running = new Map<string, Running>();
  readonly #watermarks = new Map<Stream, Watermarks>();
  /** By rollout and metric. */
  readonly #counters = new Map<string, Map<string, Counters>>();
  #seenAt = new Float64Array(0);
  /** The device asked for last: a record is a few calls for one device. */
  #lastId = "";
  #lastIndex = 0;
  #refused = { malformed: 0, replayed: 0, oldBoot: 0, stale: 0, overLimit: 0, implausible: 0 };

  constructor(limits: Partial<FleetLimits> = {}) {
    this.#limits = { ...limitsDefault, ...limits };
  }

  get devices(): number {
    return this.#indexes.size;
  }

  /** Since the beginning. */
  get refused(): Refusals {
    return { ...this.#refused };
  }

  state(): FleetMetricsState {
    const counters = [...this.#counters].map(
      ([uid, metrics]) => [uid, new Map([...metrics].map(([metric, one]) => [metric, one.state()]))] as const,
    );
    return {
      indexes: this.#indexes,
      free: this.#free,
      lanes: this.#lanes,
      analyses: new Map([...this.#running].map(([uid, { analysis }]) => [uid, analysis.state()])),
      watermarks: new Map([...this.#watermarks].map(([stream, one]) => [stream, one.state()])),
      counters: new Map(counters),
      seenAt: this.#seenAt,
      refused: this.#refused,
    };
  }

  /** Continues from a state, before anything is folded here. Analyses that run here and there have what was counted there;
   * one that the state does not have starts from what the state knows of its devices' past. */
  restore(state: FleetMetricsState): Unrestored {
    this.#lastId = "";
    this.#indexes.clear();
    for (const [deviceId, device] of state.indexes) this.#indexes.set(deviceId, device);
    this.#free.length = 0;
    for (const device of state.free) this.#free.push(device);
    this.#seenAt = Float64Array.from(state.seenAt);
    this.#lanes.clear();
    for (const [metric, { day, good, frames, goodBefore, framesBefore }] of state.lanes) {
      const columns = { good, frames, goodBefore, framesBefore };
      const copied = Object.entries(columns).map(([name, column]) => [name, Float64Array.from(column)]);
      const lane = { metric, day: Int32Array.from(day), ...Object.fromEntries(copied) };
      this.#lanes.set(metric, lane as Lane);
    }
    this.#watermarks.clear();
    for (const [stream, one] of state.watermarks) this.#watermarks.set(stream, Watermarks.of(one));
    this.#counters.clear();
    for (const [uid, metrics] of state.counters)
      this.#counters.set(uid, new Map([...metrics].map(([metric, one]) => [metric, new Counters(one)])));
    this.#refused = { ...state.refused };
    const missing: string[] = [];
    for (const [uid, { analysis }] of [...this.#running]) {
      const from = state.analyses.get(uid);
      const isRestored = from !== undefined && analysis.restore(from);
      if (!isRestored) missing.push(uid);
      this.#place(analysis, isRestored ? "restored" : "new");
    }
    return { ended: [...state.analyses.keys()].filter((uid) => !this.#running.has(uid)), missing };
  }

  /** Of the typed arrays; device ids and their index come on top. */
  get bytes(): number {
    let sum = this.#seenAt.byteLength;
    for (const lane of this.#lanes.values())
      sum += lane.day.byteLength + 2 * (lane.good.byteLength + lane.goodBefore.byteLength);
    for (const watermarks of this.#watermarks.values()) sum += watermarks.bytes;
    for (const { analysis, places } of this.#running.values()) sum += analysis.bytes + places.byteLength;
    for (const metrics of this.#counters.values()) for (const counters of metrics.values()) sum += counters.bytes;
    return sum;
  }

  /** Whether this record of a device's stream was not folded yet; marks it as folded. */
  isNew(deviceId: string, stream: Stream, bootId: bigint, seq: bigint): boolean {
    const device = this.#indexOf(deviceId);
    if (device === null) return false;
    let watermarks = this.#watermarks.get(stream);
    if (watermarks === undefined) {
      watermarks = new Watermarks();
      watermarks.grow(this.#seenAt.length);
      this.#watermarks.set(stream, watermarks);
    }
    const freshness = watermarks.mark(device, bootId, seq);
    if (freshness === "replayed") this.#refused.replayed += 1;
    if (freshness === "old-boot") this.#refused.oldBoot += 1;
    return freshness === "new";
  }

  /** Counts `frames` frames of which `good` were good. `at`: when the device saw them, by the receiver's clock: receipt less
   * the age that the device states. `label`: their true class, where it is known. `count`: how many frames these are, where
   * `frames` is the sum of their weights. False: refused (F2). */
  observe(
    deviceId: string,
    modelDigest: string,
    metric: string,
    good: number,
    frames: number,
    at: Instant,
    label?: string,
    count = frames,
  ): boolean {
    if (!isSane(good, frames, at)) {
      this.#refused.malformed += 1;
      return false;
    }
    const device = this.#indexOf(deviceId);
    const lane = device === null ? null : this.#laneOf(metric);
    if (device === null || lane === null) return false;
    if (at > (this.#seenAt[device] as number)) this.#seenAt[device] = at;
    const right = Math.min(good, frames); // No rate is above 1.
    let isPlausible = true;
    for (const { analysis, pastFrom, places } of this.#running.values()) {
      const place = places[device] ?? 0;
      if (place > 0)
        isPlausible =
          analysis.add(place - 1, modelDigest, metric, { good: right, frames, at, label, count }, pastFrom) &&
          isPlausible;
    }
    if (!isPlausible) this.#refused.implausible += 1;
    return this.#remember(lane, device, right, frames, at) && isPlausible;
  }

  /** Subtracts one labelled frame that was observed so, from wherever it still counts: where it aged out, or where its device has less, nothing is
   * subtracted. */
  retract(
    deviceId: string,
    modelDigest: string,
    metric: string,
    good: number,
    frames: number,
    at: Instant,
    label?: string,
  ): void {
    const device = this.#indexes.get(deviceId);
    const lane = this.#lanes.get(metric);
    if (device === undefined || lane === undefined || !isSane(good, frames, at)) return;
    const right = Math.min(good, frames);
    for (const { analysis, pastFrom, places } of this.#running.values()) {
      const place = places[device] ?? 0;
      if (place > 0) analysis.retract(place - 1, modelDigest, metric, { good: right, frames, at, label }, pastFrom);
    }
    const age = (lane.day[device] as number) - dayOf(at);
    if (age === 0) subtract(lane.good, lane.frames, device, right, frames);
    if (age === 1) subtract(lane.goodBefore, lane.framesBefore, device, right, frames);
  }

  /** Something that no device can mean, found by the reader of its record. */
  refuseMalformed(): void {
    this.#refused.malformed += 1;
  }

  /** A crash of the device's model. The first since its start counts for an analysis. */
  crashed(deviceId: string, at: Instant): boolean {
    if (!(at >= 0 && at <= TIME_MAX)) {
      this.#refused.malformed += 1;
      return false;
    }
    const device = this.#indexOf(deviceId);
    if (device === null) return false;
    if (at > (this.#seenAt[device] as number)) this.#seenAt[device] = at;
    for (const { analysis, places } of this.#running.values()) {
      const place = places[device] ?? 0;
      if (place > 0) analysis.crashed(place - 1, at);
    }
    return true;
  }

  /** Two cumulative counters of a device as they stood at a moment, for one metric of one rollout. What they grew by up to
   * `pastTo` is of before (counters.ts C1 to C6). False: refused. */
  counted(uid: string, metric: string, deviceId: string, sample: CounterSample, pastTo: Instant): boolean {
    if (!isCounter(sample) || !(sample.at >= 0 && sample.at <= TIME_MAX) || !isValidId(deviceId)) {
      this.#refused.malformed += 1;
      return false;
    }
    const counters = this.#countersOf(uid, metric, deviceId);
    if (counters === null) {
      this.#refused.overLimit += 1;
      return false;
    }
    const increase = counters.increase(deviceId, sample);
    if (increase === null || increase.frames === 0) return true;
    if (increase.frames > FRAMES_MAX) {
      this.#refused.malformed += 1;
      return false;
    }
    const isBefore = increase.to <= pastTo;
    if (isBefore) counters.addBefore(deviceId, increase);
    const running = this.#running.get(uid);
    const place = running?.places[this.#indexes.get(deviceId) ?? -1] ?? 0;
    if (running === undefined || place === 0) return true;
    if (isBefore) running.analysis.addBefore(place - 1, metric, increase.good, increase.frames);
    else if (!running.analysis.addIncrease(place - 1, metric, increase)) {
      this.#refused.implausible += 1;
      return false;
    }
    return true;
  }

  /** The newest moment passed to `counted`; null: none. */
  countedTo(uid: string, metric: string): Instant | null {
    return this.#counters.get(uid)?.get(metric)?.newest ?? null;
  }

  /** Forgets the counters of every rollout but these. */
  keepCounters(isKept: (uid: string) => boolean): void {
    for (const uid of this.#counters.keys()) if (!isKept(uid)) this.#counters.delete(uid);
  }

  /** Rate of good frames over the last whole day and the current one; null: nothing known. What cohorts are stratified by. */
  rateOf(deviceId: string, metric: string): number | null {
    const device = this.#indexes.get(deviceId);
    const lane = this.#lanes.get(metric);
    if (device === undefined || lane === undefined) return null;
    const frames = (lane.frames[device] as number) + (lane.framesBefore[device] as number);
    return frames === 0 ? null : ((lane.good[device] as number) + (lane.goodBefore[device] as number)) / frames;
  }

  /** When frames or crashes of the device were last seen; null: never. */
  seenAt(deviceId: string): Instant | null {
    const device = this.#indexes.get(deviceId);
    return device === undefined || this.#seenAt[device] === 0 ? null : (this.#seenAt[device] as number);
  }

  /** Starts to count for an analysis; the same uid starts over. Call it as soon as the start is decided, or before the
   * history of its devices is folded: both come to the same counts. Null: too many run. */
  start(plan: AnalysisPlan): FleetAnalysis | null {
    const isFull = !this.#running.has(plan.uid) && this.#running.size >= this.#limits.analysesMax;
    const analysis = isFull ? null : new FleetAnalysis(plan);
    if (analysis !== null && this.#place(analysis, "new")) return analysis;
    this.#refused.overLimit += 1;
    return null;
  }

  /** Finds the places of its devices; of a new one, their past as well. False: no room. */
  #place(analysis: FleetAnalysis, is: "new" | "restored"): boolean {
    const { plan } = analysis;
    const indexes = this.#indexesOf(analysis.members);
    if (indexes === null) return false;
    const today = dayOf(plan.startedAt);
    const places = new Int32Array(this.#seenAt.length);
    for (const [place, device] of indexes.entries()) {
      places[device] = place + 1;
      if (is === "restored") continue;
      for (const metric of plan.metrics) {
        const counters = this.#counters.get(plan.uid)?.get(metric);
        if (counters !== undefined) {
          const { good, frames } = counters.before(analysis.members[place] as string);
          analysis.addBefore(place, metric, good, frames);
        }
        const lane = this.#lanes.get(metric);
        if (lane === undefined) continue;
        const age = today - (lane.day[device] as number);
        if (age <= 1) analysis.addBefore(place, metric, lane.good[device] as number, lane.frames[device] as number);
        if (age <= 0)
          analysis.addBefore(place, metric, lane.goodBefore[device] as number, lane.framesBefore[device] as number);
      }
    }
    this.#running.set(plan.uid, { analysis, pastFrom: (today - 1) * DAY_MS, places });
    return true;
  }

  analysis(uid: string): FleetAnalysis | null {
    return this.#running.get(uid)?.analysis ?? null;
  }

  end(uid: string): void {
    this.#running.delete(uid);
  }

  /** Forgets devices last seen before `before`, unless an analysis counts them. Gives how many. */
  prune(before: Instant): number {
    const running = [...this.#running.values()];
    let pruned = 0;
    this.#lastId = "";
    for (const [deviceId, device] of this.#indexes) {
      if ((this.#seenAt[device] as number) >= before) continue;
      if (running.some(({ places }) => (places[device] ?? 0) > 0)) continue;
      this.#indexes.delete(deviceId);
      this.#free.push(device);
      this.#seenAt[device] = 0;
      for (const watermarks of this.#watermarks.values()) watermarks.forget(device);
      for (const lane of this.#lanes.values())
        for (const column of [lane.day, lane.good, lane.frames, lane.goodBefore, lane.framesBefore]) column[device] = 0;
      pruned += 1;
    }
    return pruned;
  }

  /** Null: there is no room for another device. */
  #countersOf(uid: string, metric: string, deviceId: string): Counters | null {
    const known = this.#counters.get(uid)?.get(metric);
    if (known?.has(deviceId)) return known;
    let kept = 0;
    for (const metrics of this.#counters.values()) for (const { devices } of metrics.values()) kept += devices;
    if (kept >= this.#limits.countersMax) return null;
    if (known !== undefined) return known;
    const counters = new Counters();
    const metrics = this.#counters.get(uid);
    if (metrics === undefined) this.#counters.set(uid, new Map([[metric, counters]]));
    else metrics.set(metric, counters);
    return counters;
  }

  #remember(lane: Lane, device: number, good: number, frames: number, at: Instant): boolean {
    const day = dayOf(at);
    const before = day === (lane.day[device] as number) ? (lane.frames[device] as number) : 0;
    if (before + frames > framesPlausible(DAY_MS)) {
      this.#refused.implausible += 1;
      return false;
    }
    const late = (lane.day[device] as number) - day;
    if (late > 1) {
      this.#refused.stale += 1;
      return false;
    }
    if (late === 1) {
      lane.goodBefore[device] = (lane.goodBefore[device] as number) + good;
      lane.framesBefore[device] = (lane.framesBefore[device] as number) + frames;
      return true;
    }
    if (late < 0) {
      // After a gap of days nothing is left of before.
      lane.goodBefore[device] = late === -1 ? (lane.good[device] as number) : 0;
      lane.framesBefore[device] = late === -1 ? (lane.frames[device] as number) : 0;
      lane.day[device] = day;
      lane.good[device] = good;
      lane.frames[device] = frames;
      return true;
    }
    lane.good[device] = (lane.good[device] as number) + good;
    lane.frames[device] = (lane.frames[device] as number) + frames;
    return true;
  }

  #indexesOf(deviceIds: readonly string[]): readonly number[] | null {
    const indexes = deviceIds.map((deviceId) => this.#indexOf(deviceId));
    return indexes.every((index) => index !== null) ? (indexes as number[]) : null;
  }

  #indexOf(deviceId: string): number | null {
    if (deviceId === this.#lastId) return this.#lastIndex;
    const index = this.#known(deviceId);
    if (index !== null) [this.#lastId, this.#lastIndex] = [deviceId, index];
    return index;
  }

  #known(deviceId: string): number | null {
    const known = this.#indexes.get(deviceId);
    if (known !== undefined) return known;
    if (!isValidId(deviceId)) {
      this.#refused.malformed += 1;
      return null;
    }
    if (this.#indexes.size >= this.#limits.devicesMax) {
      this.#refused.overLimit += 1;
      return null;
    }
    const index = this.#free.pop() ?? this.#indexes.size;
    if (index >= this.#seenAt.length)
      this.#grow(Math.min(this.#limits.devicesMax, Math.max(64, Math.ceil(index * 1.5))));
    this.#indexes.set(deviceId, index);
    return index;
  }

  #laneOf(metric: string): Lane | null {
    const known = this.#lanes.get(metric);
    if (known !== undefined) return known;
    if (this.#lanes.size >= this.#limits.metricsMax) {
      this.#refused.overLimit += 1;
      return null;
    }
    const n = this.#seenAt.length;
    const lane: Lane = {
      metric,
      day: new Int32Array(n),
      good: new Float64Array(n),
      frames: new Float64Array(n),
      goodBefore: new Float64Array(n),
      framesBefore: new Float64Array(n),
    };
    this.#lanes.set(metric, lane);
    return lane;
  }

  #grow(devices: number): void {
    this.#seenAt = grown(this.#seenAt, devices);
    for (const watermarks of this.#watermarks.values()) watermarks.grow(devices);
    for (const lane of this.#lanes.values()) {
      const day = new Int32Array(devices);
      day.set(lane.day);
      lane.day = day;
      lane.good = grown(lane.good, devices);
      lane.frames = grown(lane.frames, devices);
      lane.goodBefore = grown(lane.goodBefore, devices);
      lane.framesBefore = grown(lane.framesBefore, devices);
    }
  }
}

const isSane = (good: number, frames: number, at: Instant): boolean =>
  frames >= 0 && frames <= FRAMES_MAX && good >= 0 && good <= frames * (1 + 1e-9) && at >= 0 && at <= TIME_MAX;

const dayOf = (at: Instant): number => Math.floor(at / DAY_MS);

function grown(from: Float64Array, length: number): Float64Array<ArrayBuffer> {
  const to = new Float64Array(length);
  to.set(from);
  return to;
}
