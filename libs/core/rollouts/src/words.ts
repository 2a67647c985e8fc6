/** What happens to a rollout, in words for people: the same in the report, in histories and on the command line. */
import type { Band, Comparison } from "@tributary/judge";
import type { Evidence, PauseReason, RolloutChange } from "./events.ts";
import type { AnalysisCrossCheck } from "./evidence.ts";
import { durationText, type RolloutStep } from "./spec.ts";

export function stepWords(step: RolloutStep): string {
  if ("setWeight" in step) return `set weight ${step.setWeight} %`;
  if ("analysis" in step) return `analysis, at most ${durationText(step.analysis.duration)}`;
  const { duration } = step.pause;
  return duration === undefined ? "pause until someone resumes" : `pause ${durationText(duration)}`;
}

export const pauseWords = {
  step: "as its step says",
  person: "by a person",
  inconclusive: "the analysis ended without a verdict",
  "no-data": "the analysis had no data",
  silent: "too many devices are silent",
  error: "the analysis failed to run",
} as const satisfies Record<PauseReason, string>;

/** A change as it is told: of the devices only how many they are. */
export type ToldChange =
  | Exclude<RolloutChange, { readonly kind: "created" }>
  | { readonly kind: "created"; readonly devices: number };

export function changeWords(change: ToldChange, steps: readonly RolloutStep[]): string {
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
      return `goes back: ${change.why}`;
    case "rolled-back":
      return leftWords(change.evidence) ?? "no device runs the model any more";
    case "abandoned":
      return abandonedWords(change, change.evidence);
    case "retried":
      return "begins again";
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
  return `${updated} of its ${reached} devices run the model, the others are told to`;
}

/** ": why", where an analysis stands behind it. */
const because = ({ why }: Evidence): string => (typeof why === "string" && why !== "" ? `: ${why}` : "");

/** Of a pause, with what its analysis was missing. */
export const pausedWords = (reason: PauseReason, evidence: Evidence): string =>
  reason === "step" || reason === "person" ? pauseWords[reason] : `${pauseWords[reason]}${because(evidence)}`;

/** Of a rollout that a person ended on its way back. */
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

/** "accuracy fell by 3.1 points (2.2 to 4.0) against the control". Without a bound so far: no band. */
export function harmWords(name: string, { harm }: Pick<Comparison, "harm">, { lower, upper }: Band): string {
  const band =
    Number.isFinite(lower) && Number.isFinite(upper) ? `${points(lower)} to ${points(upper)}` : "no bound yet";
  return `${metricOf(name)} ${harm < 0 ? "rose" : "fell"} by ${points(Math.abs(harm))} points (${harm < 0 ? bandOfRise(lower, upper) : band}) against the control`;
}

const bandOfRise = (lower: number, upper: number): string =>
  Number.isFinite(lower) && Number.isFinite(upper) ? `${points(-upper)} to ${points(-lower)}` : "no bound yet";

/** What is missing before a rollout may widen. */
export function unsureWords(name: string, { lower, upper }: Band, margin: number): string {
  const needed = `a loss below ${points(margin)} points must be shown`;
  if (!Number.isFinite(lower) || !Number.isFinite(upper))
    return `${metricOf(name)}: too little to bound the loss yet; ${needed}`;
  return `${metricOf(name)}: between ${change(-lower)} and ${change(-upper)} against the control; ${needed}`;
}

const change = (gain: number): string =>
  Math.abs(gain) < 0.0005 ? "no change" : `${points(Math.abs(gain))} points ${gain > 0 ? "better" : "worse"}`;

/** Percentage points. */
const points = (share: number): string => (100 * share).toFixed(1).replace(/^-0\.0$/, "0.0");

/** Of a rollout that went back, as services before `abandoned` wrote it; null: no device was left where it was. */
export const leftWords = ({ after }: Evidence): string | null => (typeof after === "string" ? `ended: ${after}` : null);

/** What the cross-check says beside a verdict; null: nothing is known of one. */
export function crossCheckWords(check: AnalysisCrossCheck | null): string | null {
  if (check === null) return null;
  const { why, looks, plannedMs } = check;
  if (why !== null) return `no re-randomisation: ${why}`;
  const last = looks.at(-1);
  if (last === undefined) return `re-randomisation looks first at ${durationText(plannedMs[0] ?? 0)}`;
  const { p, spent, sinceMs, isHarmful } = last;
  const says = isHarmful ? "harm" : "no harm shown";
  return `re-randomisation at ${durationText(sinceMs)}: p ${few(p)}, ${few(spent)} spent: ${says}`;
}

const few = (share: number): string => String(Number(share.toPrecision(2)));
