/** All running experiments: from the log of events, the reports of devices and the time to the next events, the policies that devices
 * shall decide by, and the evidence. Part of the RolloutController, whose log and devices it shares; the same calls in the same
 * order give the same answers (G10).
 *
 * X1. A device is in one arm from the start to the end, and is analysed as assigned. Frames count for it that were decided by its
 *     arm's policy; what is lost so shows in the sample ratio: devices that report, against those that were assigned.
 * X2. Nothing is judged in the burn-in, nor before each arm has `DEVICES_MIN` devices with frames in every lane. What evidence is
 *     planned for is fixed at the first look, from the past and from the number of frames, never from their outcomes (judge.ts J2).
 * X3. The first verdict of an arm that the log counts holds, whatever later looks show, here or elsewhere: it is an event. The experiment is decided when
 *     each arm has one, or at its end.
 * X4. While the sample ratio is off, an arm's devices are silent, or frames of an arm are labelled otherwise than those of the control, no verdict is
 *     taken: what is left of an arm is not a random part of it. A device reports once its frames
 *     name its arm, in every arm alike: by the policy alone those of the control would report first, since it is mostly in force already.
 *     Devices whose agents know no arms do not report, in whichever arm. And desired states are written in an order that does not depend
 *     on the arm, so that a writer that is interrupted leaves none of them behind.
 * X5. When it ends, each device decides by the policy in force again. An adopted policy is rolled out afterwards, through a canary. */
import { POLICY } from "@tributary/contracts";
import { Failure, type Instant } from "@tributary/kernel";
import { comparisonDefaults } from "../comparison.ts";
import { type DeviceEntry, type DeviceSlots, UNPINNED } from "../device-slots.ts";
import type { FleetAnalysis } from "../fleet-metrics/analysis.ts";
import type { FleetMetrics } from "../fleet-metrics/fleet-metrics.ts";
import { type Arm, effectiveSampleSizes, sumsOf, weighingOf } from "../judge/comparison.ts";
import { DEVICES_MIN, LABELS_MIN } from "../judge/plan.ts";
import type { ArmJudged, ExperimentChange, ExperimentVerdict } from "./events.ts";
import { type ArmComparison, type ArmEvidence, EXPERIMENT_FORMAT, type ExperimentEvidence } from "./evidence.ts";
import { type Experiment, endOf, judgedIn } from "./experiment.ts";
import { flipsAt, gridOf } from "./flips.ts";
import { type ArmLook, type ArmVerdict, ExperimentJudge, type ExperimentSettings } from "./judge.ts";
import { LabelledShare, type LabelledShareState } from "./labelled-share.ts";
import { type ArmLanes, type LaneName, laneNames, type Rates, utilityOf } from "./lanes.ts";
import { Latencies, type LatenciesState } from "./latencies.ts";
import { deviceSdAssumed, plannedVariances } from "./plan.ts";
import { apartFromArms, SampleRatio, type SampleRatioState } from "./sample-ratio.ts";
import { weightsOf } from "./spec.ts";

export type ExperimentProposal = {
  readonly uid: string;
  readonly version: number;
  readonly change: ExperimentChange;
};

/** Metrics of FleetMetrics, under the version of the policy that decided: the lanes of an experiment. `in-time` is the complement of `late`. */
export const policyMetrics = ["system-accuracy", "escalated", "in-time"] as const;

/** What a frame took from capture to its final answer, and the cloud call that its policy wanted. */
export type FrameCost = { readonly latencyMs: number; readonly costMicros: number };

/** X4 */
const MISMATCH =
  "the devices that report are not those that were assigned: some arm's are silent, or decide by another policy";
/** A device without a frame for so long is silent. */
const SILENCE_MS = comparisonDefaults.silenceMs;
/** Evidence grows fastest then, or half way through a shorter experiment. */
const PLANNED_MS = 86_400_000;
const RATES_ASSUMED: Rates = { correct: 0.9, escalated: 0.1, late: 0.01 };
const NAMED_MAX = 20;

type TrackedArm = {
  readonly name: string;
  readonly policyVersion: string;
  readonly entries: readonly DeviceEntry[];
  readonly latencies: Latencies;
  costMicros: number;
  /** Devices that have sent frames in its name, decided by its policy, and when the newest of these were. (X4) */
  readonly reported: Map<string, Instant>;
  /** Devices whose newest frames name another arm or policy. */
  readonly elsewhere: Set<string>;
  /** X3. The first that a look found here; the log's counts. */
  found: ArmJudged | null;
  look: ArmLook | null;
};

type Tracked = {
  experiment: Experiment;
  readonly arms: readonly TrackedArm[];
  /** Of each arm but the control; null: too many analyses run. */
  readonly analyses: readonly (FleetAnalysis | null)[];
  readonly armOf: ReadonlyMap<string, TrackedArm>;
  /** X2 */
  judge: ExperimentJudge | null;
  readonly ratio: SampleRatio;
  readonly labelled: LabelledShare;
  lookedAt: Instant;
  /** Why no verdict was taken at the last look; null: it was. */
  held: string | null;
  /** As of the last look: a fleet's lanes are long. */
  shown: ExperimentEvidence | null;
  decided: ExperimentProposal | null;
};

/** What a restarted instance needs, by uid. Of the counts of analyses, see FleetMetricsState. */
export type ExperimentsState = ReadonlyMap<string, ExperimentState>;
type ExperimentState = Pick<Tracked, "lookedAt" | "held"> & {
  readonly arms: ReadonlyMap<
    string,
    Pick<TrackedArm, "costMicros" | "reported" | "elsewhere" | "found" | "look"> & {
      readonly latencies: LatenciesState;
    }
  >;
  readonly planned: ExperimentSettings["planned"] | null;
  readonly ratio: SampleRatioState;
  readonly labelled: LabelledShareState;
};

export class Experiments {
  readonly #fleet: FleetMetrics;
  readonly #devices: DeviceSlots;
  readonly #lookEveryMs: number;
  readonly #known = new Map<string, Experiment>();
  readonly #running = new Map<string, Tracked>();
  /** Of the devices in running experiments. */
  readonly #byDevice = new Map<string, Tracked>();

  constructor(fleet: FleetMetrics, devices: DeviceSlots, lookEveryMs: number) {
    this.#fleet = fleet;
    this.#devices = devices;
    this.#lookEveryMs = lookEveryMs;
  }

  get all(): readonly Experiment[] {
    return [...this.#known.values()];
  }

  get(uid: string): Experiment | null {
    return this.#known.get(uid) ?? null;
  }

  /** The log counted an event: this is the state after it. */
  applied(experiment: Experiment, position: bigint): void {
    const { uid, phase, arms } = experiment;
    this.#known.set(uid, experiment);
    const known = this.#running.get(uid);
    if (phase === "Running" && known !== undefined) {
      Object.assign(known, { experiment, shown: null, decided: null }); // X3
      return;
    }
    if (phase === "Running") {
      const tracked = this.#track(experiment);
      // X4
      for (const deviceId of apartFromArms(uid, experiment.order)) {
        const { name, policyVersion } = tracked.armOf.get(deviceId) as TrackedArm;
        const why = `arm ${name} of experiment ${experiment.spec.metadata.name}`;
        const wanted = { generation: position, modelDigest: policyVersion, uid, arm: name, why };
        this.#devices.want(POLICY, this.#devices.entriesOf(POLICY, [deviceId]), wanted);
      }
      return;
    }
    this.#running.delete(uid);
    for (const { name, devices } of arms) {
      if (name !== arms[0]?.name) this.#fleet.end(analysisOf(uid, name));
      for (const deviceId of devices) this.#byDevice.delete(deviceId);
    }
    const entries = this.#devices.entriesOf(POLICY, experiment.order);
    const why = `experiment ${experiment.spec.metadata.name} ended`; // X5
    this.#devices.want(POLICY, entries, { generation: position, modelDigest: UNPINNED, uid, why });
  }

  state(): ExperimentsState {
    const stateOf = ({ arms, judge, ratio, labelled, lookedAt, held }: Tracked): ExperimentState => ({
      lookedAt,
      held,
      arms: new Map(
        arms.map(({ name, latencies, costMicros, reported, elsewhere, found, look }) => [
          name,
          { latencies: latencies.state(), costMicros, reported, elsewhere, found, look },
        ]),
      ),
      planned: judge?.planned ?? null,
      ratio: ratio.state(),
      labelled: labelled.state(),
    });
    return new Map([...this.#running].map(([uid, tracked]) => [uid, stateOf(tracked)]));
  }

  /** Continues from a state, before anything is folded here; `isRestored`: whether the counts of an analysis were. */
  restore(state: ExperimentsState, isRestored: (analysisUid: string) => boolean): void {
    for (const [uid, tracked] of this.#running) {
      const from = state.get(uid);
      const others = tracked.arms.slice(1);
      if (from === undefined || !others.every(({ name }) => isRestored(analysisOf(uid, name)))) continue;
      const { lookedAt, held, planned } = from;
      Object.assign(tracked, { lookedAt, held, shown: null, decided: null });
      if (planned !== null) tracked.judge = judgeWith(tracked.experiment, planned);
      for (const arm of tracked.arms) {
        const of = from.arms.get(arm.name);
        if (of === undefined) continue;
        arm.latencies.restore(of.latencies);
        Object.assign(arm, { costMicros: of.costMicros, found: of.found, look: of.look });
        for (const [deviceId, at] of of.reported) arm.reported.set(deviceId, at);
        for (const deviceId of of.elsewhere) arm.elsewhere.add(deviceId);
      }
      tracked.ratio.restore(from.ratio);
      tracked.labelled.restore(from.labelled);
    }
  }

  /** Forgets the ended ones that the log has forgotten. */
  keep(isKept: (uid: string) => boolean): void {
    for (const uid of this.#known.keys()) if (!isKept(uid)) this.#known.delete(uid);
  }

  /** A batch of a device's frames: by which policy and in which arm it says that they were decided. */
  framesOf(deviceId: string, policyVersion: string, arm: string, at: Instant): void {
    const tracked = this.#byDevice.get(deviceId);
    const assigned = tracked?.armOf.get(deviceId);
    if (tracked === undefined || assigned === undefined) return;
    const { createdAt, spec } = tracked.experiment;
    if (at < createdAt) return;
    if (policyVersion === assigned.policyVersion && arm === assigned.name)
      assigned.reported.set(deviceId, Math.max(at, assigned.reported.get(deviceId) ?? at));
    if (at < createdAt + spec.spec.burnIn) return;
    // An agent of before knows no arms, and decides by the policy that it is sent.
    const isElsewhere = policyVersion !== assigned.policyVersion || (arm !== assigned.name && arm !== "default");
    if (isElsewhere) assigned.elsewhere.add(deviceId);
    else assigned.elsewhere.delete(deviceId);
  }

  /** A frame that the random sample drew, or one of these that has a label and an answer by now. `expected`: q of its prediction. `by` -1: its label
   * was withdrawn. */
  sampled(
    deviceId: string,
    policyVersion: string,
    what: "drawn" | "labelled",
    expected: number,
    at: Instant,
    by: 1 | -1 = 1,
  ): void {
    const tracked = this.#byDevice.get(deviceId);
    const arm = tracked?.armOf.get(deviceId);
    if (tracked === undefined || arm?.policyVersion !== policyVersion || at < tracked.experiment.createdAt) return;
    tracked.labelled.add(tracked.arms.indexOf(arm), deviceId, what, expected, by);
  }

  /** Costs of a frame that this policy decided. */
  settled(deviceId: string, policyVersion: string, at: Instant, { latencyMs, costMicros }: FrameCost): void {
    const tracked = this.#byDevice.get(deviceId);
    const arm = tracked?.armOf.get(deviceId);
    if (tracked === undefined || arm?.policyVersion !== policyVersion || at < tracked.experiment.createdAt) return;
    arm.latencies.add(latencyMs);
    if (costMicros >= 0) arm.costMicros += costMicros;
  }

  /** Looks at each whose time has come, in record time. */
  look(now: Instant): void {
    for (const tracked of this.#running.values()) {
      if (now - tracked.lookedAt < this.#lookEveryMs) continue;
      Object.assign(tracked, { lookedAt: now, shown: null, decided: null });
      this.#look(tracked, now);
    }
  }

  /** What to append now, at most one event an experiment. */
  propose(now: Instant): readonly ExperimentProposal[] {
    return [...this.#running.values()].flatMap((tracked) => {
      tracked.decided ??= this.#decision(tracked, now);
      return tracked.decided === null ? [] : [tracked.decided];
    });
  }

  #decision(tracked: Tracked, now: Instant): ExperimentProposal | null {
    const { uid, version } = tracked.experiment;
    const found = tracked.arms.find(
      (arm) => arm.found !== null && judgedIn(tracked.experiment, arm.name) === null,
    )?.found;
    if (found != null) return { uid, version: version + 1, change: { kind: "experiment-arm-judged", ...found } };
    const decision = decisionOf(tracked, now);
    if (decision === null) return null;
    const evidence = this.#evidence(tracked, now, decision.why);
    return { uid, version: version + 1, change: { kind: "experiment-decided", ...decision, evidence } };
  }

  /** The event of a person who ends it. Throws a Failure. */
  stop(uid: string, by: string, reason: string, now: Instant): ExperimentProposal {
    const experiment = this.get(uid);
    if (experiment === null) {
      const what = `there is no experiment ${uid}; list them to see which there are`;
      throw new Failure("experiment-unknown", "give-up", what);
    }
    const tracked = this.#running.get(uid);
    if (tracked === undefined) {
      const what = `experiment ${experiment.spec.metadata.name} has ended already: ${experiment.why}`;
      throw new Failure("experiment-command-refused", "give-up", what);
    }
    const why = `stopped by ${by}${reason === "" ? "" : `: ${reason}`}`.slice(0, 500);
    const evidence = this.#evidence(tracked, now, why);
    return { uid, version: experiment.version + 1, change: { kind: "experiment-stopped", why, evidence } };
  }

  /** As of the last look; of an ended one, of its end. */
  evidence(uid: string): ExperimentEvidence | null {
    const tracked = this.#running.get(uid);
    if (tracked === undefined) return this.get(uid)?.evidence ?? null;
    tracked.shown ??= this.#evidence(tracked, null, whyOf(tracked));
    return tracked.shown;
  }

  #track(experiment: Experiment): Tracked {
    const { uid, createdAt } = experiment;
    const arms = experiment.arms.map(
      ({ name, policyVersion, devices }): TrackedArm => ({
        name,
        policyVersion,
        entries: this.#devices.entriesOf(POLICY, devices),
        latencies: new Latencies(),
        costMicros: 0,
        reported: new Map(),
        elsewhere: new Set(),
        found: null,
        look: null,
      }),
    );
    const [control, ...others] = experiment.arms;
    const analyses = others.map(({ name, policyVersion, devices }) =>
      this.#fleet.start({
        uid: analysisOf(uid, name),
        startedAt: createdAt,
        control: control?.devices ?? [],
        canary: devices,
        metrics: policyMetrics,
        models: { candidate: policyVersion, stable: control?.policyVersion ?? "" },
        ownOnly: true,
      }),
    );
    const armOf = new Map(arms.flatMap((arm) => arm.entries.map(({ deviceId }) => [deviceId, arm] as const)));
    const tracked: Tracked = {
      experiment,
      arms,
      analyses,
      armOf,
      judge: null,
      ratio: new SampleRatio(experiment),
      labelled: new LabelledShare(experiment.arms.map(({ devices }) => devices)),
      lookedAt: Number.NEGATIVE_INFINITY,
      held: "no look yet",
      shown: null,
      decided: null,
    };
    this.#running.set(uid, tracked);
    for (const deviceId of experiment.order) this.#byDevice.set(deviceId, tracked);
    return tracked;
  }

  #look(tracked: Tracked, now: Instant): void {
    const { experiment, arms, analyses, ratio, labelled } = tracked;
    const { createdAt, spec } = experiment;
    const sinceMs = now - createdAt;
    if (sinceMs < spec.spec.burnIn) {
      tracked.held = "in the burn-in";
      return;
    }
    const lanes = analyses.map((analysis) => (analysis === null ? null : lanesOf(analysis)));
    ratio.reported(arms.map(({ reported }) => reported));
    labelled.look(arms.map(({ name }) => name));
    const heardFrom = now - SILENCE_MS;
    const silence = ratio.silence((i, deviceId) => (arms[i]?.reported.get(deviceId) ?? 0) >= heardFrom);
    const unlike = ratio.isMismatch ? MISMATCH : labelled.isUnlike ? labelled.why : silence;
    const missing = missingOf(arms, lanes);
    if (missing === null) {
      tracked.judge ??= judgeOf(experiment, lanes as readonly Lanes[], sinceMs); // X2
      for (const [i, arm] of arms.slice(1).entries()) {
        const { control, canary } = lanes[i] as Lanes;
        arm.look = tracked.judge.look(sinceMs, control, canary) ?? arm.look;
        if (arm.look === null || unlike !== null) continue;
        const { verdict, because } = arm.look;
        if (verdict === "undecided") continue;
        arm.found ??= { arm: arm.name, verdict, because, logs: logsOf(arm.look), lookedAt: now }; // X3
      }
    }
    tracked.held = ratio.isMismatch ? MISMATCH : (missing ?? unlike);
  }

  /** `endsAt`: null while it goes on. */
  #evidence(tracked: Tracked, endsAt: Instant | null, why: string): ExperimentEvidence {
    const { experiment, arms, analyses, judge, ratio, labelled, lookedAt } = tracked;
    const { spec } = experiment.spec;
    const lanes = analyses.map((analysis) => (analysis === null ? null : lanesOf(analysis)));
    const weights = weightsOf(experiment.spec);
    return {
      format: EXPERIMENT_FORMAT,
      at: Number.isFinite(lookedAt) ? lookedAt : experiment.createdAt,
      startedAt: experiment.createdAt,
      currency: spec.utility.currency,
      weights,
      rope: spec.rope,
      lateMargin: spec.lateMargin,
      alpha: spec.alpha,
      logNeeded: judge?.logNeeded ?? Math.log((2 * (arms.length - 1)) / spec.alpha),
      deadlineMs: experiment.deadlineMs,
      arms: arms.map((arm, i) => armEvidence(tracked, lanes, arm, i, endsAt !== null)),
      sampleRatio: {
        log: ratio.log,
        logNeeded: ratio.logNeeded,
        exactP: ratio.exactP,
        isMismatch: ratio.isMismatch,
      },
      labelledShare: { log: labelled.log, logNeeded: labelled.logNeeded, isUnlike: labelled.isUnlike },
      why,
      reviewAt: endsAt === null ? null : endsAt + spec.reviewAfter,
    };
  }
}

const analysisOf = (uid: string, arm: string): string => `${uid}/${arm}`;

type Lanes = { readonly control: ArmLanes; readonly canary: ArmLanes };

function lanesOf(analysis: FleetAnalysis): Lanes {
  const [accuracy, escalated, inTime] = policyMetrics.map((metric) => analysis.counts(metric));
  const of = (which: "control" | "canary"): ArmLanes => ({
    correct: accuracy?.[which] as Arm,
    escalated: escalated?.[which] as Arm,
    late: complementOf(inTime?.[which] as Arm),
  });
  return { control: of("control"), canary: of("canary") };
}

function complementOf({ good, frames, before }: Arm): Arm {
  return {
    good: Float64Array.from(frames, (all, i) => all - (good[i] as number)),
    frames,
    before: Float64Array.from(before, (rate) => 1 - rate),
  };
}

/** Of arm `i`, the control being 0. */
const ofArm = (lanes: readonly (Lanes | null)[], i: number): ArmLanes | null =>
  i === 0 ? (lanes.find((one) => one !== null)?.control ?? null) : (lanes[i - 1]?.canary ?? null);

const countOf = (arm: Arm | undefined): number => {
  let count = 0;
  for (let i = 0; i < (arm?.frames.length ?? 0); i++) if ((arm?.frames[i] as number) > 0) count += 1;
  return count;
};

const laneWords: Readonly<Record<LaneName, string>> = {
  correct: "labelled frames of the random sample",
  escalated: "frames",
  late: "final answers",
};

/** Why nothing can be compared yet; null: it can. (X2) */
function missingOf(arms: readonly TrackedArm[], lanes: readonly (Lanes | null)[]): string | null {
  if (lanes.includes(null)) return "too many comparisons run at once: end some rollouts or experiments";
  for (const [i, { name }] of arms.entries()) {
    const own = ofArm(lanes, i);
    for (const lane of laneNames) {
      const devices = countOf(own?.[lane]);
      if (devices >= DEVICES_MIN) continue;
      return `${devices} devices of arm ${name} have ${laneWords[lane]} by its policy, and ${DEVICES_MIN} are needed`;
    }
  }
  for (const [i, one] of (lanes as readonly Lanes[]).entries()) {
    const sizes = effectiveSampleSizes(one.control.correct, one.canary.correct);
    if (sizes === null) continue;
    const few = (["control", "canary"] as const).find((which) => sizes[which] < LABELS_MIN);
    if (few === undefined) continue;
    const { name } = arms[few === "control" ? 0 : i + 1] as TrackedArm;
    return `labels of arm ${name} are worth ${Math.floor(sizes[few])} of equal weight, and ${LABELS_MIN} are needed`;
  }
  return null;
}

/** J2: from the past, and from how many frames there were. */
function judgeOf(experiment: Experiment, lanes: readonly Lanes[], sinceMs: number): ExperimentJudge {
  const { spec } = experiment.spec;
  const weights = weightsOf(experiment.spec);
  const plannedMs = Math.min(PLANNED_MS, spec.duration / 2);
  const [first] = lanes as readonly [Lanes];
  const [rates, frames] = [{ ...RATES_ASSUMED }, { ...RATES_ASSUMED }];
  for (const lane of laneNames) {
    const { frames: counts, before } = first.control[lane];
    const sizes = effectiveSampleSizes(first.control[lane], first.canary[lane]);
    const framesOfOne = (sizes?.control ?? sumOf(counts)) / countOf(first.control.late);
    frames[lane] = (framesOfOne * plannedMs) / sinceMs;
    const past = sumOf(before) / Math.max(1, before.length);
    if (past > 0 && past < 1) rates[lane] = past;
  }
  const planned = plannedVariances(
    {
      devices: [countOf(first.control.late), Math.min(...lanes.map(({ canary }) => countOf(canary.late)))],
      rates,
      frames,
      deviceSd: deviceSdAssumed,
    },
    weights,
  );
  return judgeWith(experiment, planned);
}

function judgeWith({ spec, arms }: Experiment, planned: ExperimentSettings["planned"]): ExperimentJudge {
  const { alpha, rope, lateMargin, burnIn: burnInMs } = spec.spec;
  return new ExperimentJudge({
    alpha,
    weights: weightsOf(spec),
    rope,
    lateMargin,
    burnInMs,
    planned,
    arms: arms.length - 1,
  });
}

const sumOf = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] as number;
  return sum;
};

type Decision = { readonly verdict: ExperimentVerdict; readonly winner: string | null; readonly why: string };

/** The log's, or the one that is to be appended next. */
const verdictOf = ({ experiment }: Tracked, { name, found }: TrackedArm): ArmJudged | null =>
  judgedIn(experiment, name) ?? found;

/** Of the last look. */
function whyOf(tracked: Tracked): string {
  const undecided = tracked.arms.slice(1).filter((arm) => verdictOf(tracked, arm) === null);
  return (
    tracked.held ??
    (undecided.length === 0
      ? "every arm has its verdict"
      : `undecided: ${undecided.map(({ name }) => name).join(", ")}`)
  );
}

/** X3. Null: it goes on. */
function decisionOf(tracked: Tracked, now: Instant): Decision | null {
  const { experiment, arms } = tracked;
  const others = arms.slice(1).map((arm) => ({ ...arm, verdict: judgedIn(experiment, arm.name) }));
  const isOver = now >= endOf(experiment);
  if (!isOver && others.some(({ verdict }) => verdict === null)) return null;
  const having = (wanted: ArmVerdict) => others.filter(({ verdict }) => verdict?.verdict === wanted);
  const gainOf = ({ look }: Pick<TrackedArm, "look">) => look?.gain.estimate ?? Number.NEGATIVE_INFINITY;
  const [best] = having("adopt").toSorted((a, b) => gainOf(b) - gainOf(a));
  const control = arms[0]?.name ?? "";
  if (best !== undefined) {
    const what = `${best.name} is worth more than ${control}, and late answers are within the margin`;
    return { verdict: "adopt", winner: best.name, why: what };
  }
  if (others.some(({ verdict }) => verdict === null)) {
    return { verdict: "hold", winner: null, why: `undecided at its end: ${whyOf(tracked)}` };
  }
  const same = having("equivalent").map(({ name }) => name);
  if (same.length > 0) {
    const what = `${same.join(", ")} ${same.length === 1 ? "is" : "are"} worth the same as ${control}, but for the rope`;
    return { verdict: "equivalent", winner: null, why: what };
  }
  const reasons = others.map(({ name, verdict }) =>
    verdict?.because === "late" ? `${name} is late more often than the margin allows` : `${name} is worth less`,
  );
  return { verdict: "reject", winner: null, why: `${reasons.join("; ")}: ${control} stays` };
}

function armEvidence(
  tracked: Tracked,
  lanes: readonly (Lanes | null)[],
  arm: TrackedArm,
  i: number,
  isEnd: boolean,
): ArmEvidence {
  const { name, policyVersion, entries, latencies, costMicros, elsewhere } = arm;
  const weights = weightsOf(tracked.experiment.spec);
  const own = ofArm(lanes, i);
  const rates = Object.fromEntries(laneNames.map((lane) => [lane, rateOf(own?.[lane])])) as ArmEvidence["rates"];
  const frames = Object.fromEntries(
    laneNames.map((lane) => [lane, own === null ? 0 : sumOf(own[lane].sample?.labels ?? own[lane].frames)]),
  ) as ArmEvidence["frames"];
  const isKnown = laneNames.every((lane) => rates[lane] !== null);
  return {
    name,
    policyVersion,
    devices: entries.length,
    onPolicy: entries.filter(({ state }) => state?.modelDigest === policyVersion).length,
    reporting: countOf(own?.late),
    elsewhere: [...elsewhere].slice(0, NAMED_MAX),
    frames,
    rates,
    utility: isKnown ? utilityOf(rates as Rates, weights) : null,
    latency: latencies.count === 0 ? null : { p50Ms: latencies.quantile(0.5), p99Ms: latencies.quantile(0.99) },
    callCostPer1000: latencies.count === 0 ? null : costMicros / latencies.count / 1_000,
    comparison: i === 0 ? null : comparisonOf(tracked, lanes[i - 1] ?? null, arm, isEnd),
  };
}

/** As it is compared, but for what the devices did before. */
function rateOf(arm: Arm | undefined): number | null {
  if (arm === undefined) return null;
  const { w, y } = sumsOf(arm, { x: 0, y: 0 }, weighingOf(arm, arm));
  return w === 0 ? null : y / w;
}

function comparisonOf(tracked: Tracked, lanes: Lanes | null, arm: TrackedArm, isEnd: boolean): ArmComparison | null {
  const { experiment } = tracked;
  const { look } = arm;
  if (look === null || lanes === null) return null;
  const verdict = verdictOf(tracked, arm);
  const weights = weightsOf(experiment.spec);
  const { correct, escalated, late } = look.lanes;
  const differences = { correct: correct.estimate, escalated: escalated.estimate, late: late.estimate };
  return {
    verdict: verdict?.verdict ?? "undecided",
    because: verdict?.because ?? null,
    logs: logsOf(look),
    gain: shown(look.gain),
    lanes: { correct: shown(correct), escalated: shown(escalated), late: shown(late) },
    missing: look.missing,
    grid: isEnd ? gridOf(lanes.control, lanes.canary, weights) : null,
    flipsAt: isEnd ? flipsAt(differences, weights) : null,
  };
}

/** JSON has no infinity. */
const LOG_MIN = -1e6;

const logsOf = ({ logs }: ArmLook): ArmComparison["logs"] =>
  Object.fromEntries(
    Object.entries(logs).map(([name, log]) => [name, Math.max(log, LOG_MIN)]),
  ) as ArmComparison["logs"];

const shown = ({ estimate, band }: ArmLook["gain"]): ArmComparison["gain"] => ({
  estimate,
  band: Number.isFinite(band.lower) && Number.isFinite(band.upper) ? band : null,
});
