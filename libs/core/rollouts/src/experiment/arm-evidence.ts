/** What an experiment shows to people, as of its last look. */
import type { Instant } from "@tributary/kernel";
import { type Arm, sumsOf, weighingOf } from "../judge/comparison.ts";
import { verdictOf } from "./decision.ts";
import { type ArmComparison, type ArmEvidence, EXPERIMENT_FORMAT, type ExperimentEvidence } from "./evidence.ts";
import { flipsAt, gridOf } from "./flips.ts";
import type { ArmLook } from "./judge.ts";
import { laneNames, type Rates, utilityOf } from "./lanes.ts";
import { weightsOf } from "./spec.ts";
import { countOf, type Lanes, lanesOf, ofArm, sumOf, type Tracked, type TrackedArm } from "./tracked.ts";

const NAMED_MAX = 20;

/** `endsAt`: null while it goes on. */
export function evidenceOf(tracked: Tracked, endsAt: Instant | null, why: string): ExperimentEvidence {
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

/** The rate as it is compared, but for what the devices did before. */
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

export const logsOf = ({ logs }: ArmLook): ArmComparison["logs"] =>
  Object.fromEntries(
    Object.entries(logs).map(([name, log]) => [name, Math.max(log, LOG_MIN)]),
  ) as ArmComparison["logs"];

const shown = ({ estimate, band }: ArmLook["gain"]): ArmComparison["gain"] => ({
  estimate,
  band: Number.isFinite(band.lower) && Number.isFinite(band.upper) ? band : null,
});
