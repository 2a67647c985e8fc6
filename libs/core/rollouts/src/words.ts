/** What happens to a rollout, in words for people: the same in the report, in histories and on the command line. */
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

/** Of a rollout that went back; null: no device was left where it was. */
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
