/** What happens to a rollout, in words for people: the same in the report, in histories and on the command line. */

import type { Evidence, PauseReason, RolloutChange } from "./events.ts";
import type { AnalysisCrossCheck, AnalysisMetric } from "./evidence.ts";
import type { Band, Comparison } from "./judge/evidence.ts";
import type { MetricLook } from "./judge/metric-watch.ts";
import type { Segment } from "./segments.ts";
import { durationText, type RolloutStep } from "./spec.ts";

export function stepWords(step: RolloutStep): string {
  if ("setWeight" in step) return `set weight ${step.setWeight} %`;
  if ("analysis" in step) return `analysis, at most ${durationText(step.analysis.duration)}`;
  const { duration } = step.pause;
  return duration === undefined ? "pause until someone resumes" : `pause ${durationText(duration)}`;
}

export const pauseWords = {
  step: "by its pause step",
  person: "by a person",
  inconclusive: "the analysis ended without a verdict",
  "no-data": "the analysis had no data",
  silent: "too many devices are silent",
  error: "the analysis failed to run",
} as const satisfies Record<PauseReason, string>;

/** A change as people and clients see it: `created` has the number of its devices in their place. */
export type PublishedChange =
  | Exclude<RolloutChange, { readonly kind: "created" }>
  | { readonly kind: "created"; readonly devices: number };

export function changeWords(change: PublishedChange, steps: readonly RolloutStep[]): string {
  const place = (index: number) => `step ${index + 1}/${steps.length}`;
  switch (change.kind) {
    case "created":
      return `created for ${change.devices} devices`;
    case "step-started": {
      const step = steps[change.step];
      return `${place(change.step)} starts${step === undefined ? "" : `: ${stepWords(step)}`}`;
    }
    case "step-finished":
      return `${place(change.step)} is done`;
    case "analysed":
      return `the analysis of ${place(change.step)} ends ${change.verdict}`;
    case "paused":
      return `paused: ${pauseWords[change.reason]}`;
    case "resumed":
      return "resumed";
    case "promoted":
      return change.full ? "promoted to all, by a person and without evidence" : "promoted by a step, by a person";
    case "aborted":
      return `rolls back: ${change.why}`;
    case "rolled-back":
      return leftWords(change.evidence) ?? "no device runs the model any more";
    case "abandoned":
      return abandonedWords(change, change.evidence);
    case "retried":
      return "restarted";
    case "completed":
      return `complete: ${reachedWords(change.evidence)}`;
    default:
      return change satisfies never;
  }
}

/** Of a rollout that is Healthy: devices that were away at the deadline of its last step need not run the model yet. */
export function reachedWords({ reached, updated }: Evidence): string {
  if (typeof reached !== "number" || typeof updated !== "number" || updated >= reached)
    return "all its devices run the model";
  return `${updated} of its ${reached} devices run the model, the others have it as their desired state`;
}

/** ": why", where an analysis stands behind it. */
const because = ({ why }: Evidence): string => (typeof why === "string" && why !== "" ? `: ${why}` : "");

/** Of a pause, with what its analysis was missing. */
export const pausedWords = (reason: PauseReason, evidence: Evidence): string =>
  reason === "step" || reason === "person" ? pauseWords[reason] : `${pauseWords[reason]}${because(evidence)}`;

/** Of a rollout whose rollback a person ended early. */
export function abandonedWords(
  { devices, some }: { readonly devices: number; readonly some: readonly string[] },
  evidence: Evidence = {},
): string {
  const named = some.slice(0, LEFT_NAMED_MAX).join(", ");
  const more = devices > LEFT_NAMED_MAX ? ` and ${devices - LEFT_NAMED_MAX} more` : "";
  const after = typeof evidence.after === "string" ? ` (${evidence.after})` : "";
  return `abandoned${after}: ${devices} ${devices === 1 ? "device still runs" : "devices still run"} the model: ${named}${more}`;
}

const LEFT_NAMED_MAX = 5;

const metricWords: Readonly<Record<string, string>> = {
  accuracy: "accuracy",
  "deadline-met": "frames within the deadline",
  "latency-met": "frames within the devices' latency before",
  agreement: "agreement with the cloud",
};

const metricOf = (name: string): string => metricWords[name] ?? name;

/** "of class cat", "at site north". */
export const segmentWords = ({ kind, name }: Segment): string =>
  kind === "class" ? `of class ${name}` : `at site ${name}`;

/** "accuracy of class cat fell by 3.1 points (2.2 to 4.0) against the control". Without a bound so far: no band. */
export function harmWords(
  name: string,
  { harm }: Pick<Comparison, "harm">,
  { lower, upper }: Band,
  segment?: Segment,
): string {
  const [from, to] = harm < 0 ? [-upper, -lower] : [lower, upper];
  const isBounded = Number.isFinite(from) && Number.isFinite(to);
  const band = isBounded ? `${points(Math.max(-1, from))} to ${points(Math.min(1, to))}` : "no bound yet";
  const what = segment === undefined ? metricOf(name) : `${metricOf(name)} ${segmentWords(segment)}`;
  return `${what} ${harm < 0 ? "rose" : "fell"} by ${points(Math.abs(harm))} points (${band}) against the control`;
}

/** Names the planned look that found harm, where the band, which holds at every moment, is not sure of it yet; else nothing. */
export const crossedWords = ({ crossedMs, band }: Pick<MetricLook, "crossedMs" | "band">, tolerated: number): string =>
  crossedMs === null || band.lower > tolerated
    ? ""
    : `, found by the planned look at ${durationText(roundedMs(crossedMs))}`;
const roundedMs = (ms: number): number => {
  const to = ms < 120_000 ? 1_000 : 60_000;
  return to * Math.round(ms / to);
};

/** "worst of 10 segments: class cat, harm 21.3 pp (9.9 to 32.7), ln e 6.1"; null: none shows anything yet. */
export function worstSegmentWords({ segments, worst }: Pick<AnalysisMetric, "segments" | "worst">): string | null {
  const [first] = worst;
  if (first === undefined) return null;
  const { kind, name, harm, low, high, logHarm } = first;
  const band = low === null || high === null ? "no bound yet" : `${points(low)} to ${points(high)}`;
  return `worst of ${segments} segments: ${kind} ${name}, harm ${points(harm)} pp (${band}), ln e ${logHarm.toFixed(1)}`;
}

export type Unsure = {
  readonly look: Pick<MetricLook, "comparison" | "band" | "logHarm" | "logSafe">;
  readonly margin: number;
  readonly alpha: number;
  readonly beta: number;
  /** What would do if the estimate stays; null: nothing within reach would. */
  readonly moreMs: number | null;
  readonly moreDevices: number | null;
  /** The segment that is most of the evidence of harm, if one is. */
  readonly segment: (Segment & { readonly comparison: Pick<Comparison, "harm">; readonly band: Band }) | null;
};

/** Of a metric that is undecided: the estimate, its band, and what is missing. "accuracy -4.2 points (band -9.1 to +0.7):
 * harm of over 1.0 points is not ruled out; evidence 0.3 of the 3.0 needed to go on, 1.9 of the 3.9 to roll back; about 12
 * more minutes or 6 more canary devices at this rate would do". */
export function unsureWords(name: string, { look, margin, alpha, beta, moreMs, moreDevices, segment }: Unsure): string {
  const { comparison, band, logHarm, logSafe } = look;
  const known = `${metricOf(name)} ${estimateWords(comparison, band)}`;
  const open = `harm of over ${points(margin)} points is not ruled out`;
  const on = `evidence ${few1(logSafe ?? 0)} of the ${few1(-Math.log(beta))} needed to go on`;
  const back = `${few1(logHarm)} of the ${few1(-Math.log(alpha))} to roll back`;
  const most =
    segment === null ? "" : `, most of it ${segmentWords(segment)}, ${estimateWords(segment.comparison, segment.band)}`;
  return `${known}: ${open}; ${on}, ${back}${most}; ${missingWords(moreMs, moreDevices)}`;
}

function missingWords(moreMs: number | null, moreDevices: number | null): string {
  const minutes = moreMs === null ? null : Math.max(1, Math.ceil(moreMs / 60_000));
  const time =
    minutes === null ? null : minutes < 120 ? `${minutes} more minutes` : `${Math.ceil(minutes / 60)} more hours`;
  const devices = moreDevices === null ? null : `${moreDevices} more canary devices`;
  if (time !== null) return `about ${devices === null ? time : `${time} or ${devices}`} at this rate would do`;
  if (devices !== null) return `more time alone would not do, about ${devices} would`;
  return "so small a difference needs far more time and devices";
}

/** Gains are above 0, as people read a metric. */
function estimateWords({ harm }: Pick<Comparison, "harm">, { lower, upper }: Band): string {
  const isBounded = Number.isFinite(lower) && Number.isFinite(upper);
  const [from, to] = [Math.max(-1, -upper), Math.min(1, -lower)]; // No rate changes by more.
  return `${signed(-harm)} points (${isBounded ? `band ${signed(from)} to ${signed(to)}` : "no bound yet"})`;
}

const signed = (gain: number): string =>
  (points(gain).startsWith("-") || points(gain) === "0.0" ? "" : "+") + points(gain);
const few1 = (logE: number): string => Math.max(0, logE).toFixed(1);

/** Of an undecided metric, at the end of its analysis. */
export const marginWords = (name: string, harm: number, margin: number, p: number): string =>
  `${metricOf(name)} is ${points(harm)} points worse, beyond the margin of ${points(margin)} (p ${few(p)} of one look)`;

/** Percentage points. */
const points = (share: number): string => (100 * share).toFixed(1).replace(/^-0\.0$/, "0.0");

/** Of a rollback that a person ended early, as services before `abandoned` wrote it; null: no device was left where it was. */
export const leftWords = ({ after }: Evidence): string | null => (typeof after === "string" ? `ended: ${after}` : null);

/** The cross-check's result in words; null: there is no cross-check. */
export function crossCheckWords(check: AnalysisCrossCheck | null): string | null {
  if (check === null) return null;
  const { why, looks, plannedMs } = check;
  if (why !== null) return `no re-randomisation: ${why}`;
  const last = looks.at(-1);
  if (last === undefined) return `re-randomisation looks first at ${durationText(plannedMs[0] ?? 0)}`;
  const { p, spent, sinceMs, isHarmful } = last;
  const finding = isHarmful ? "harm" : "no harm shown";
  return `re-randomisation at ${durationText(sinceMs)}: p ${few(p)}, ${few(spent)} spent: ${finding}`;
}

const few = (share: number): string => String(Number(share.toPrecision(2)));
