/** An experiment that was judged by the real judge: its events, as rollout-manager would write them. */
import {
  type ArmComparison,
  type ArmEvidence,
  type ArmLanes,
  EXPERIMENT_FORMAT,
  type ExperimentEvent,
  type ExperimentEvidence,
  ExperimentJudge,
  type ExperimentSpec,
  type ExperimentVerdict,
  flipsAt,
  gridOf,
  plannedVariances,
  type Rates,
  readExperiment,
  utilityOf,
  weightsOf,
} from "./index.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
export const START = 1_767_225_600_000;
export const model = { digest: "cd".repeat(32), name: "edge", version: "2" };

const DEVICES = 40;
const frames = { correct: 200, escalated: 5_000, late: 5_000 };
const control: Rates = { correct: 0.88, escalated: 0.1, late: 0.003 };

/** By how much the rates of an arm's devices are above those of the control. */
export type Effect = Partial<Rates> & { readonly isUnlabelled?: true };

export const written = {
  apiVersion: "tributary.dev/v1",
  kind: "Experiment",
  metadata: { name: "is-the-cloud-worth-it" },
  spec: {
    utility: { correct: 0.01, escalated: 0.0005, late: 0.01, currency: "EUR" },
    rope: 0.0001,
    duration: "3d",
  },
};

/** The first arm is called edge-only, the others as `effects` are. */
export function experimentOf(effects: Readonly<Record<string, Effect>>, hours = 24) {
  const names = ["edge-only", ...Object.keys(effects)];
  const spec = readExperiment({
    ...written,
    spec: { ...written.spec, arms: names.map((name, i) => ({ name, policy: versionOf(i).slice(0, 12) })) },
  }).spec as ExperimentSpec;
  const lanes = [{}, ...Object.values(effects)].map((effect) => lanesOf(effect, hours));
  return { spec, names, evidence: evidenceOf(spec, lanes, hours) };
}

export function eventsOf(
  { spec, names, evidence }: ReturnType<typeof experimentOf>,
  end: { readonly verdict: ExperimentVerdict; readonly winner?: string } | { readonly stopped: string } | null,
): ExperimentEvent[] {
  const created: ExperimentEvent["change"] = {
    kind: "experiment-created",
    spec,
    arms: names.map((_, i) => ({ policyVersion: versionOf(i), devices: DEVICES })),
    order: names.flatMap((name) => Array.from({ length: DEVICES }, (_, i) => `${name}-${i}`)),
    modelDigest: model.digest,
    cloudTarget: "default",
    deadlineMs: 2_000,
  };
  const changes: ExperimentEvent["change"][] = [created];
  if (end !== null && "verdict" in end) {
    const { verdict, winner = null } = end;
    changes.push({ kind: "experiment-decided", verdict, winner, why: evidence.why, evidence });
  }
  if (end !== null && "stopped" in end) changes.push({ kind: "experiment-stopped", why: end.stopped, evidence: null });
  return changes.map((change, i) => ({
    uid: "0199-worth-it",
    version: i + 1,
    at: START + i * DAY,
    by: i === 0 ? "ann" : "rollout-manager",
    change,
  }));
}

/** With another comparison of each arm that has one. */
export const changed = (evidence: ExperimentEvidence, change: Partial<ArmComparison>): ExperimentEvidence => ({
  ...evidence,
  arms: evidence.arms.map((arm) => ({
    ...arm,
    comparison: arm.comparison === null ? null : { ...arm.comparison, ...change },
  })),
});

/** As while it runs: what would flip it is computed at its end. */
export const unflipped = (evidence: ExperimentEvidence) => changed(evidence, { grid: null, flipsAt: null });

/** As in its first minutes. */
export function unbounded(evidence: ExperimentEvidence): ExperimentEvidence {
  const none = { estimate: 0.0001, band: null };
  return changed(evidence, { gain: none, lanes: { correct: none, escalated: none, late: none } });
}

const versionOf = (arm: number): string => `${arm}e`.repeat(32);

/** Devices of an arm, every other a little above its rates and the others below, with as many frames each. */
function lanesOf(effect: Effect, hours: number): ArmLanes {
  const lane = (name: keyof Rates) => {
    const all = name === "correct" && effect.isUnlabelled ? 0 : Math.round((hours / 24) * frames[name]);
    const rates = Array.from(
      { length: DEVICES },
      (_, i) => control[name] + (effect[name] ?? 0) + (i % 2 === 0 ? 0.001 : -0.001),
    );
    return {
      good: rates.map((rate) => all * rate),
      frames: rates.map(() => all),
      before: rates.map(() => control[name]),
    };
  };
  return { correct: lane("correct"), escalated: lane("escalated"), late: lane("late") };
}

function evidenceOf(spec: ExperimentSpec, lanes: readonly ArmLanes[], hours: number): ExperimentEvidence {
  const { alpha, rope, lateMargin, burnIn, utility } = spec.spec;
  const weights = weightsOf(spec);
  const [own] = lanes as readonly [ArmLanes, ...ArmLanes[]];
  const deviceSd = { correct: 0.01, escalated: 0.02, late: 0.002 };
  const planned = plannedVariances({ devices: [DEVICES, DEVICES], rates: control, frames, deviceSd }, weights);
  const judge = new ExperimentJudge({
    ...{ alpha, weights, rope, lateMargin, planned },
    burnInMs: burnIn,
    arms: lanes.length - 1,
  });
  const arms = lanes.map((these, i): ArmEvidence => {
    const look = i === 0 ? null : judge.look(hours * HOUR, own, these);
    const rates = { correct: rateOf(these.correct), escalated: rateOf(these.escalated), late: rateOf(these.late) };
    const { correct, escalated, late } = rates;
    return {
      name: spec.spec.arms[i]?.name ?? "",
      policyVersion: versionOf(i),
      devices: DEVICES,
      onPolicy: DEVICES,
      reporting: DEVICES,
      elsewhere: [],
      frames: { correct: sum(these.correct.frames), escalated: sum(these.late.frames), late: sum(these.late.frames) },
      rates,
      utility:
        correct === null || escalated === null || late === null
          ? null
          : utilityOf({ correct, escalated, late }, weights),
      latency: { p50Ms: 40.4, p99Ms: (late ?? 0) > 0.01 ? 2_310 : 1_480 },
      callCostPer1000: 5 * (escalated ?? 0),
      comparison:
        look === null
          ? null
          : { ...look, grid: gridOf(own, these, weights), flipsAt: flipsAt(gainsOf(look.lanes), weights) },
    };
  });
  return {
    format: EXPERIMENT_FORMAT,
    at: START + hours * HOUR,
    startedAt: START,
    currency: utility.currency,
    ...{ weights, rope, lateMargin, alpha, arms },
    logNeeded: judge.logNeeded,
    deadlineMs: 2_000,
    sampleRatio: { log: 0.2, logNeeded: Math.log(100), isMismatch: false },
    why: "as devices of all arms have shown",
    reviewAt: START + 90 * DAY,
  };
}

const sum = (counts: ArrayLike<number>): number => Array.from(counts).reduce((all, count) => all + count, 0);
const rateOf = ({ good, frames }: ArmLanes["late"]): number | null =>
  sum(frames) === 0 ? null : sum(good) / sum(frames);

const gainsOf = (lanes: Readonly<Record<keyof Rates, { readonly estimate: number }>>): Rates => ({
  correct: lanes.correct.estimate,
  escalated: lanes.escalated.estimate,
  late: lanes.late.estimate,
});
