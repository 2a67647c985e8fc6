/** What a policy is worth on frames that neither chose nor fitted it, beside the edge, the cloud and fixed scores at the same
 * share sent; and what a person should know before using it. */
import { clopperPearson, type Interval, normalQuantile, pairedDifference } from "@tributary/statistics";
import type { Calibrated } from "./calibrate.ts";
import { FIXED_SCORES, type FixedScore, fixedScoreOf, type ScoreChoice, STANDARD_ERRORS } from "./fit.ts";
import { type JudgedFrame, orderByScore } from "./frontier.ts";

export type AccountFrame = JudgedFrame & {
  readonly calibrated: Calibrated;
  /** Ground truth, as an index into the labels. */
  readonly label: number;
  /** Sent whatever its score, by every way that is compared. */
  readonly priority: boolean;
  /** By the policy: priority, or above its threshold. */
  readonly isSent: boolean;
};

export type Accuracy = Interval & { readonly accuracy: number };

/** `difference` of accuracies, with the interval of a paired comparison. */
export type Difference = Interval & { readonly difference: number };

export type PolicyAccount = {
  readonly frames: number;
  readonly share: number;
  readonly edge: Accuracy;
  readonly cloud: Accuracy;
  readonly hybrid: Accuracy;
  /** The cloud less the edge. */
  readonly cloudGain: Difference;
  /** Sending as large a share by a fixed score; `lead` is the policy less it. */
  readonly fixed: readonly (Accuracy & { readonly score: FixedScore; readonly lead: Difference })[];
  readonly warnings: readonly string[];
};

const CONFIDENCE = 0.95;

export function accountOf(
  frames: readonly AccountFrame[],
  labels: readonly string[],
  choice: ScoreChoice,
): PolicyAccount {
  const edge = frames.map(({ edgeRight }) => edgeRight);
  const cloud = frames.map(({ cloudRight }) => cloudRight);
  const sent = frames.filter(({ isSent }) => isSent).length;
  const hybrid = answersOf(frames, (_, i) => frames[i]?.isSent === true);
  const fixed = FIXED_SCORES.map((score) => {
    const order = orderByScore(
      frames.map(({ calibrated, priority }) => (priority ? Number.POSITIVE_INFINITY : fixedScoreOf(score, calibrated))),
    );
    const first = new Set(order.subarray(0, sent));
    const right = answersOf(frames, (_, i) => first.has(i));
    // Three are compared with.
    return {
      score,
      ...accuracyOf(right),
      lead: differenceOf(hybrid, right, 1 - (1 - CONFIDENCE) / FIXED_SCORES.length),
    };
  });
  const account = {
    frames: frames.length,
    share: frames.length === 0 ? 0 : sent / frames.length,
    edge: accuracyOf(edge),
    cloud: accuracyOf(cloud),
    hybrid: accuracyOf(hybrid),
    cloudGain: differenceOf(cloud, edge, CONFIDENCE),
    fixed,
  };
  return { ...account, warnings: warningsOf(account, frames, labels, choice) };
}

function warningsOf(
  { frames: n, share, cloudGain, fixed }: Omit<PolicyAccount, "warnings">,
  frames: readonly AccountFrame[],
  labels: readonly string[],
  choice: ScoreChoice,
): readonly string[] {
  const warnings: string[] = [];
  if (share === 0) {
    warnings.push("the policy sends nothing: every answer will be the edge's; is the promise (epsilon) too loose?");
  }
  if (cloudGain.upper <= 0) {
    warnings.push(`the cloud is worse than the edge (${points(cloudGain)}): sending frames to it costs accuracy`);
  } else if (cloudGain.lower <= 0) {
    const disagreeing = frames.filter(({ edgeRight, cloudRight }) => edgeRight !== cloudRight).length / n;
    warnings.push(
      `that the cloud is better than the edge is not shown (${points(cloudGain)}); ${framesToDecide(disagreeing, cloudGain.difference)}`,
    );
  }
  labels.forEach((label, index) => {
    const own = frames.filter((frame) => frame.label === index);
    const right = (of: "edgeRight" | "cloudRight") => own.map((frame) => frame[of]);
    const gain = differenceOf(right("cloudRight"), right("edgeRight"), 1 - (1 - CONFIDENCE) / labels.length);
    if (gain.upper < 0) {
      warnings.push(`on "${label}" the cloud is worse than the edge (${points(gain)}, ${own.length} frames)`);
    }
  });
  for (const { score, lead } of fixed) {
    if (lead.upper < 0) warnings.push(`sending by ${score} would be better at the same share (${points(lead)})`);
  }
  const { tried, best } = choice;
  const [top, chosen] = [best, choice.score].map((name) => tried.find(({ score }) => score === name));
  const behind = (top?.worth ?? 0) - (chosen?.worth ?? 0);
  if (chosen !== undefined && behind > chosen.standardError) {
    const needed = Math.ceil(choice.frames * ((STANDARD_ERRORS * chosen.standardError) / behind) ** 2);
    warnings.push(
      `${choice.frames} frames are too few to distinguish ${best} from ${choice.score}, which is simpler and was taken; about ${rounded(2 * needed)} validation frames would do if the difference is what it seems`,
    );
  }
  return warnings;
}

/** At 95 % and a power of 80 %. */
function framesToDecide(disagreeing: number, difference: number): string {
  if (difference <= 0) return "more validation frames would show it";
  const z = normalQuantile(0.975) + normalQuantile(0.8);
  return `about ${rounded(2 * Math.ceil((z * z * disagreeing) / difference ** 2))} validation frames would show it, if the difference is what it seems`;
}

/** Two digits: no more of them is known. */
const rounded = (value: number): number => Number(value.toPrecision(2));

const answersOf = (
  frames: readonly JudgedFrame[],
  isSent: (frame: JudgedFrame, index: number) => boolean,
): readonly boolean[] => frames.map((frame, i) => (isSent(frame, i) ? frame.cloudRight : frame.edgeRight));

function accuracyOf(right: readonly boolean[]): Accuracy {
  const events = right.filter(Boolean).length;
  return {
    accuracy: right.length === 0 ? 0 : events / right.length,
    ...clopperPearson(events, right.length, CONFIDENCE),
  };
}

function differenceOf(first: readonly boolean[], second: readonly boolean[], confidence: number): Difference {
  const only = (a: readonly boolean[], b: readonly boolean[]) => a.filter((right, i) => right && !b[i]).length;
  return pairedDifference(only(first, second), only(second, first), first.length, confidence);
}

/** "+3.1 points, -0.4 to 6.6" */
export function points({ difference, lower, upper }: Difference): string {
  const of = (value: number) => (100 * value).toFixed(1);
  return `${difference < 0 ? "" : "+"}${of(difference)} points, ${of(lower)} to ${of(upper)}`;
}
