/** The first routing policy of an edge package, learned on its validation frames against one cloud package. */
import type { Inference } from "@tributary/inference";
import {
  calibrate,
  type LearningSettings,
  learningDefaults,
  learnPolicy,
  type PolicyContent,
  PRIORITY_LABELS_MAX,
} from "@tributary/routing";
import { z } from "zod";
import { readSettings } from "../settings-file.ts";
import type { Observed } from "./documents.ts";

const share = z.number().min(0).max(1);
const duration = z.int().min(1).max(86_400_000);
const priorityLabel = z.strictObject({
  label: z.string().min(1),
  confidenceMin: share,
  /** Never had an effect: priority frames are sent whatever their score. Files that say 1 stay right. */
  weight: z.literal(1, "weight is gone: a priority frame is sent whatever its score; leave it out").default(1),
});

/** What a policy settings file may say, within what a policy may be; the rest is learned. */
const settingsSchema = z
  .strictObject({
    cloudTarget: z.string().min(1),
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

/** Even frames fit the score, odd ones test the threshold; both halves come from one camera, so no device is split. */
export function learnFirstPolicy(
  edge: Observed,
  temperature: number,
  cloud: readonly Inference[],
  settings: PolicySettings,
): PolicyContent {
  return learnPolicy(
    edge.frames.map(({ label }, i) => ({
      logits: edge.inferences[i]?.logits ?? new Float32Array(),
      label,
      cloudRight: calibrate(cloud[i]?.logits ?? [], 1).labelIndex === label,
      half: i % 2 === 0 ? "score" : "threshold",
    })),
    { ...learningDefaults, cloudTarget: "default", priorityLabels: [], ...settings, labels: edge.labels, temperature },
  );
}
