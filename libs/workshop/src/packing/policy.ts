/** The first routing policy of an edge package, learned on its validation frames against one cloud package. */
import { readFile } from "node:fs/promises";
import type { Inference } from "@tributary/inference";
import { Failure } from "@tributary/kernel";
import {
  calibrate,
  type LearningSettings,
  learningDefaults,
  learnPolicy,
  type PolicyContent,
} from "@tributary/routing";
import type { Observed } from "./documents.ts";

/** What a policy settings file may say; the rest is learned. */
const SETTINGS = [
  "cloudTarget",
  "priorityLabels",
  "epsilon",
  "delta",
  "escalationShareMax",
  "headroom",
  "samplePropensityMin",
  "sampleBudget",
  "burstMs",
  "priorityReserve",
  "deadlineMs",
] as const satisfies readonly (keyof LearningSettings)[];

export type PolicySettings = Partial<Pick<LearningSettings, (typeof SETTINGS)[number]>>;

export async function readPolicySettings(path: string | undefined): Promise<PolicySettings> {
  if (path === undefined) return {};
  const settings: unknown = JSON.parse(await readFile(path, "utf8"));
  const unknown = Object.keys(settings as object).filter((key) => !(SETTINGS as readonly string[]).includes(key));
  if (unknown.length > 0) {
    const message = `${path}: unknown ${unknown.join(", ")}; known are ${SETTINGS.join(", ")}`;
    throw new Failure("policy-settings-invalid", "ask-a-person", message);
  }
  return settings as PolicySettings;
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
