/** The first routing policy of an edge package, learned on its validation frames against one cloud package. */
import {
  type Accuracy,
  accountOf,
  calibrate,
  type LearningSettings,
  learningDefaults,
  learnPolicy,
  type PolicyAccount,
  type PolicyContent,
  PRIORITY_LABELS_MAX,
  points,
  priorityOf,
  SCORES,
  scoreOf,
} from "@tributary/routing";
import { z } from "zod";
import { readSettings } from "../settings-file.ts";
import { firstHalfOf } from "../validation/frames.ts";
import type { Answered } from "./documents.ts";

const share = z.number().min(0).max(1);
const duration = z.int().min(1).max(86_400_000);
const priorityLabel = z.strictObject({
  label: z.string().min(1),
  confidenceMin: share,
  /** Never had an effect: priority frames are sent whatever their score. Files that set 1 stay valid. */
  weight: z.literal(1, "weight is gone: a priority frame is sent whatever its score; leave it out").default(1),
});

/** What a policy settings file may set, within what a policy may be; the rest is learned. */
const settingsSchema = z
  .strictObject({
    cloudTarget: z.string().min(1),
    scores: z.array(z.enum(SCORES)).min(1),
    priorityLabels: z.array(priorityLabel).max(PRIORITY_LABELS_MAX),
    epsilon: share,
    delta: share,
    escalationShareMax: share,
    headroom: share,
    samplePropensityMin: share.min(1e-6),
    sampleBudget: share,
    burstMs: duration,
    priorityReserve: share,
    deadlineMs: duration,
  })
  .partial() satisfies z.ZodType<Partial<LearningSettings>>;

export type PolicySettings = z.output<typeof settingsSchema>;

export async function readPolicySettings(path: string | undefined): Promise<PolicySettings> {
  if (path === undefined) return {};
  return readSettings({ option: "--policy", path, code: "policy-settings-invalid" }, settingsSchema);
}

/** Of the halves that choose and test. Fixed: packing twice gives the same bytes. */
const HALVES_SEED = "routing policy";

export type FirstPolicy = { readonly policy: PolicyContent; readonly account: PolicyAccount };

/** One half of each class chooses and fits the score, the other tests the threshold and gives the account; both halves come
 * from one camera, so no device is split. */
export function learnFirstPolicy(
  edge: Answered,
  temperature: number,
  cloud: Answered["inferences"],
  settings: PolicySettings,
): FirstPolicy {
  const { frames, inferences, labels } = edge;
  const first = firstHalfOf(frames, HALVES_SEED);
  const all = frames.map((frame, i) => ({
    logits: inferences[i]?.logits ?? new Float32Array(),
    label: frame.label,
    cloudRight: calibrate(cloud[i]?.logits ?? [], 1).labelIndex === frame.label,
    half: first.has(frame) ? ("score" as const) : ("threshold" as const),
  }));
  const defaults = { ...learningDefaults, cloudTarget: "default", priorityLabels: [] };
  const { policy, choice } = learnPolicy(all, { ...defaults, ...settings, labels, temperature });
  const tested = all
    .filter(({ half }) => half === "threshold")
    .map(({ logits, label, cloudRight }) => {
      const calibrated = calibrate(logits, temperature);
      const priority = priorityOf(policy, calibrated) !== null;
      const isSent = priority || scoreOf(policy, calibrated).score > policy.scoreMin;
      return { calibrated, label, edgeRight: calibrated.labelIndex === label, cloudRight, priority, isSent };
    });
  return { policy, account: accountOf(tested, labels, choice) };
}

/** What a person reads when a policy was learned. */
export function policyLines({ policy, account }: FirstPolicy): readonly string[] {
  const { guarantee, features, scoreMin } = policy;
  const of = ({ accuracy, lower, upper }: Accuracy) => `${percent(accuracy)} (${percent(lower)} to ${percent(upper)})`;
  const isFixed = policy.cloudRight.weights.every((weight) => weight === 0);
  return [
    `score: ${isFixed ? features.join(", ") : `learned from ${features.join(", ")} and class`}; sent above ${scoreMin.toFixed(4)}: ${percent(guarantee.escalationShare)} of frames`,
    `${guarantee.method}: with probability ${1 - guarantee.delta} at most ${percent(guarantee.epsilon)} of frames lose a right cloud answer`,
    `accuracy on the ${account.frames} frames that tested it, with 95 % intervals:`,
    `  edge alone        ${of(account.edge)}`,
    `  cloud alone       ${of(account.cloud)}: ${points(account.cloudGain)}`,
    `  this policy       ${of(account.hybrid)}, ${percent(account.share)} sent`,
    ...account.fixed.map(
      (fixed) => `  by ${fixed.score.padEnd(14)} ${of(fixed)}, as many sent; this policy ${points(fixed.lead)}`,
    ),
    ...account.warnings.map((warning) => `warning: ${warning}`),
  ];
}

const percent = (part: number): string => `${(100 * part).toFixed(1)} %`;
