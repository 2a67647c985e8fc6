/** An experiment in words for people: the same on its page, in its message and on the command line. */
import type { Forecast } from "../judge/forecast.ts";
import type { ExperimentVerdict } from "./events.ts";
import type { ArmComparison, ArmEvidence, ExperimentEvidence, ShownDifference } from "./evidence.ts";
import type { Experiment } from "./experiment.ts";
import { type LaneName, laneNames } from "./lanes.ts";

/**
 * Every number of an experiment: two digits behind the point, and three that count where it is small, with a real minus and its thousands
 * apart. "-": not known.
 */
export function figure(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return "-";
  const digits = value === 0 ? 0 : Math.min(12, Math.max(2, 2 - Math.floor(Math.log10(Math.abs(value)))));
  const [whole = "", part] = value.toFixed(digits).split(".");
  const kept = (part ?? "").replace(/0+$/, "");
  const text = `${whole.replace(/\B(?=(\d{3})+$)/g, ",")}${kept === "" ? "" : `.${kept}`}`;
  return /^-[0.,]*$/.test(text) ? "0" : text.replace("-", "\u2212");
}

/** Of a share. */
export const points = (share: number | null): string => figure(share === null ? null : 100 * share);
export const per1000 = (perFrame: number | null): string => figure(perFrame === null ? null : 1_000 * perFrame);

/** What was decided, in one sentence without its full stop: for someone who reads nothing else. */
export function verdictWords(
  { phase, verdict, winner }: Pick<Experiment, "phase" | "verdict" | "winner">,
  evidence: ExperimentEvidence | null,
): string {
  const [control, ...arms] = evidence?.arms ?? [];
  if (phase === "Stopped") return "stopped by a person, without a verdict";
  if (phase === "Running")
    return evidence === null ? "nothing is measured yet" : `no verdict yet${mismatchWords(evidence)}`;
  const stays = `${control?.name ?? "the control"} stays`;
  const each = evidence === null ? [] : arms.map((arm) => foundWords(arm, evidence));
  const found = each.length === 0 ? "" : `: ${each.join("; ")}`;
  switch (verdict) {
    case "adopt": {
      const gain = arms.find(({ name }) => name === winner)?.comparison?.gain;
      const how = gain === undefined || evidence === null ? "" : `: ${gainWords(gain, evidence.currency)}`;
      return `adopt ${winner ?? "an arm"}${how}`;
    }
    case "reject":
      return `rejected${found}; ${stays}`;
    case "equivalent":
      return `equivalent${found}; ${stays}`;
    case "hold":
      return "held: it was undecided at its end, so a person decides";
    case null:
      return "decided";
    default:
      return verdict satisfies never;
  }
}

const mismatchWords = ({ sampleRatio }: ExperimentEvidence): string =>
  sampleRatio.isMismatch
    ? ": the devices that report are not those that were assigned, and no verdict is taken of the rest"
    : "";

/** "arm hybrid is late too often". */
function foundWords({ name, comparison }: ArmEvidence, { currency, rope }: ExperimentEvidence): string {
  if (comparison === null) return `arm ${name} was not compared`;
  const { verdict, because, gain } = comparison;
  if (verdict === "undecided") return `arm ${name} is undecided`;
  if (because === "late") return `arm ${name} is late too often`;
  return `arm ${name} is ${verdict === "equivalent" ? sameWords(rope, currency) : gainWords(gain, currency)}`;
}

const sameWords = (rope: number, currency: string): string =>
  `worth the same to within ${per1000(rope)} ${currency} per 1,000 frames`;

/** How an arm compares with the control, and of an undecided one why it is undecided. */
export function comparisonWords(arm: ArmEvidence, evidence: ExperimentEvidence): string {
  const { comparison } = arm;
  if (comparison === null) return notComparedWords(arm, evidence);
  const { verdict, because, gain, lanes } = comparison;
  const { currency, rope, lateMargin } = evidence;
  const late = lateWords(lanes.late);
  const worth = gainWords(gain, currency);
  switch (verdict) {
    case "adopt":
      return `${worth}; ${late}, within the margin of ${points(lateMargin)}`;
    case "reject":
      return because === "late" ? `${late}, beyond the margin of ${points(lateMargin)}` : worth;
    case "equivalent":
      return sameWords(rope, currency);
    case "undecided":
      return undecidedWords(comparison, evidence);
    default:
      return verdict satisfies never;
  }
}

function undecidedWords({ gain, lanes, logs, missing }: ArmComparison, evidence: ExperimentEvidence): string {
  const { currency, lateMargin, logNeeded } = evidence;
  const worth = gainWords(gain, currency);
  const late = lateWords(lanes.late);
  const margin = points(lateMargin);
  // A look that finds a verdict misses nothing.
  if (missing === null) return `${worth}; no verdict is taken while the devices that report are not those assigned`;
  if (lanes.late.estimate >= lateMargin) return `${late}, beyond the margin of ${margin}, not yet shown; ${worth}`;
  if (logs.better >= logNeeded)
    return `${worth}; not yet shown that late answers stay within the margin of ${margin}: ${late}`;
  return `${worth}, not yet shown: ${missingWords(missing)}`;
}

/** What is known sooner: that it is better or worse, or that it is the same. */
function missingWords({ difference, equivalence }: NonNullable<ArmComparison["missing"]>): string {
  const moreMs = ({ moreMs }: Forecast) => moreMs ?? Number.POSITIVE_INFINITY;
  return moreMs(equivalence) < moreMs(difference)
    ? `that it is the same takes ${forecastWords(equivalence)}`
    : forecastWords(difference);
}

/** "about 5 h more, or 1.4 times the devices": if what is seen stays as it is. */
export function forecastWords({ moreMs, timesDevices }: Forecast): string {
  const devices = timesDevices === null ? null : `${figure(Math.ceil(10 * timesDevices) / 10)} times the devices`;
  if (moreMs !== null) return `about ${spanWords(moreMs)} more${devices === null ? "" : `, or ${devices}`}`;
  return devices === null ? "far more time and devices" : `about ${devices}, as time alone would not do`;
}

export function spanWords(ms: number): string {
  const minutes = Math.max(1, Math.ceil(ms / 60_000));
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.ceil(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.ceil(hours / 24)} days`;
}

/** Why an arm is not compared with the control. */
function notComparedWords(arm: ArmEvidence, { arms }: ExperimentEvidence): string {
  const [control] = arms;
  if (control === undefined || arm.name === control.name) return "the control, which the others are compared with";
  for (const one of [arm, control]) {
    if (one.rates.late === null) return `no frame of ${one.name} has an answer yet`;
    if (one.rates.correct === null) return `no frame of ${one.name} has a label yet`;
  }
  return "not compared yet: in the burn-in, or too few devices of an arm have frames and labels";
}

/** "worth 1.2 EUR more per 1,000 frames (band 0.4 to 2)". */
export function gainWords(gain: ShownDifference, currency: string): string {
  const isLess = gain.estimate < 0;
  return `worth ${per1000(Math.abs(gain.estimate))} ${currency} ${isLess ? "less" : "more"} per 1,000 frames (${bandWords(gain, isLess, 1_000)})`;
}

function lateWords(late: ShownDifference): string {
  const isLess = late.estimate < 0;
  return `late answers ${isLess ? "fall" : "rise"} by ${points(Math.abs(late.estimate))} points (${bandWords(late, isLess, 100)})`;
}

function bandWords({ band }: ShownDifference, isLess: boolean, scale: number): string {
  if (band === null) return "no bound yet";
  const [from, to] = isLess ? [-band.upper, -band.lower] : [band.lower, band.upper];
  return `band ${figure(scale * from)} to ${figure(scale * to)}`;
}

const weightWords: Readonly<Record<LaneName, string>> = {
  correct: "a right answer is worth",
  escalated: "a cloud call costs",
  late: "a late answer costs",
};

/** Of each weight the value at which arm and control are worth the same; empty: none is, or it is not decided. */
export function flipWords({ flipsAt }: ArmComparison, { weights, currency }: ExperimentEvidence): readonly string[] {
  return laneNames.flatMap((lane) => {
    const at = flipsAt?.[lane] ?? null;
    if (at === null) return [];
    return [`if ${weightWords[lane]} ${figure(at)} ${currency} instead of ${figure(weights[lane])}`];
  });
}

/** A change as people and clients see it. */
type PublishedExperimentChange =
  | {
      readonly kind: "experiment-created";
      readonly spec: { readonly spec: { readonly arms: readonly { readonly name: string }[] } };
      readonly arms: readonly { readonly devices: number }[];
    }
  | {
      readonly kind: "experiment-arm-judged";
      readonly arm: string;
      readonly verdict: "adopt" | "reject" | "equivalent";
      readonly because: "utility" | "late" | null;
    }
  | {
      readonly kind: "experiment-decided";
      readonly verdict: ExperimentVerdict;
      readonly winner: string | null;
      readonly why: string;
    }
  | { readonly kind: "experiment-stopped"; readonly why: string };

export function experimentChangeWords(change: PublishedExperimentChange): string {
  switch (change.kind) {
    case "experiment-created": {
      const arms = change.arms.map(({ devices }, i) => `${devices} in ${change.spec.spec.arms[i]?.name ?? "an arm"}`);
      return `created with ${change.arms.reduce((sum, { devices }) => sum + devices, 0)} devices: ${arms.join(", ")}`;
    }
    case "experiment-arm-judged": {
      const { arm, verdict, because } = change;
      const found = { adopt: "worth more", equivalent: "worth the same", reject: "worth less" } as const;
      return `the first verdict of arm ${arm}: ${verdict}, as it is ${because === "late" ? "late too often" : found[verdict]}`;
    }
    case "experiment-decided": {
      const { verdict, winner, why } = change;
      return `decided: ${verdict}${winner === null ? "" : ` ${winner}`}${why === "" ? "" : `: ${why}`}`;
    }
    case "experiment-stopped":
      return `stopped${change.why === "" ? "" : `: ${change.why}`}`;
    default:
      return change satisfies never;
  }
}
