/** A small made-up world for the tests of routing: ten classes, an edge that is right as often as its confidence, and a cloud that
 * is better where the edge is unsure. */
import type { RoutingPolicy } from "@tributary/contracts";
import { type Random, seededRandom } from "@tributary/kernel";
import {
  type Calibrated,
  calibrate,
  completePolicy,
  type LoggedFrame,
  learningDefaults,
  learnPolicy,
  type PolicyContent,
  samplePropensity,
  scoreOf,
} from "../index.ts";
import type { LearningFrame } from "../learn.ts";

export const LABELS = Array.from({ length: 10 }, (_, i) => `class-${i}`);

export type WorldFrame = LearningFrame & { readonly edgeRight: boolean };

export function worldFrames(count: number, seed: number): readonly WorldFrame[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, (_, i): WorldFrame => {
    const best = Math.floor(random() * 10);
    const logits = Float32Array.from({ length: 10 }, () => 1.2 * gaussian(random));
    logits[best] = 1 + 5 * random() + Math.max(...logits);
    const label = drawLabel(logits, random());
    const edgeRight = label === best;
    const cloudRight = random() < (edgeRight ? 0.97 : 0.7);
    return { logits, label, cloudRight, edgeRight, half: i % 2 === 0 ? "score" : "threshold" };
  });
}

/** Frames of the world as a policy scores them and its sample draws them. */
export type ScoredFrame = WorldFrame & {
  readonly calibrated: Calibrated;
  readonly score: number;
  readonly propensity: number;
};

export const scoredPopulation = (policy: RoutingPolicy): readonly ScoredFrame[] =>
  worldFrames(10_000, 70).map((frame) => {
    const calibrated = calibrate(frame.logits, 1);
    const { score, edgeRight: q } = scoreOf(policy, calibrated);
    return { ...frame, calibrated, score, propensity: samplePropensity(policy, q) };
  });

/** Traffic drawn from a population with replacement, as it is logged. `missing`: share of drawn frames without a label. */
export function loggedFrom(
  population: readonly ScoredFrame[],
  count: number,
  seed: number,
  missing: number,
): readonly LoggedFrame[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => {
    const frame = population[Math.floor(random() * population.length)] as ScoredFrame;
    const drawn = random() < frame.propensity;
    const known = drawn && random() >= missing;
    const { calibrated, propensity } = frame;
    const right = (is: boolean) => (known ? is : null);
    return {
      calibrated,
      propensity,
      drawn,
      triggered: false,
      edgeRight: right(frame.edgeRight),
      cloudRight: right(frame.cloudRight),
    };
  });
}

export const learnWorld = (seed: number, settings: Partial<Parameters<typeof learnPolicy>[1]> = {}): PolicyContent =>
  learnPolicy(worldFrames(3_000, seed), {
    ...learningDefaults,
    scores: ["learned"],
    epsilon: 0.02,
    shapes: [{ features: ["margin", "entropy", "logitMargin"], ridge: 10 }],
    cloudTarget: "default",
    labels: LABELS,
    temperature: 1,
    priorityLabels: [{ label: "class-3", confidenceMin: 0.97, weight: 1 }],
    ...settings,
  }).policy;

export const complete = (content: PolicyContent): RoutingPolicy =>
  completePolicy(content, { modelDigest: "ab".repeat(32), createdAt: 1_700_000_000_000, sha256Hex: fakeHash });

/** Not a hash of worth, but one that differs when the text does. */
function fakeHash(text: string): string {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return h.toString(16).padStart(64, "0");
}

function gaussian(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

function drawLabel(logits: Float32Array, uniform: number): number {
  const weights = Array.from(logits, Math.exp);
  let left = uniform * weights.reduce((sum, weight) => sum + weight, 0);
  return Math.max(
    0,
    weights.findIndex((weight) => {
      left -= weight;
      return left <= 0;
    }),
  );
}
