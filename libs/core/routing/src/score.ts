/** The calibrated score: what asking the cloud is worth for one frame, P(cloud right) - P(edge right). */
import type { LogisticModel, RoutingPolicy } from "@tributary/contracts";
import { sigmoid } from "@tributary/statistics/sigmoid";
import type { Calibrated } from "./calibrate.ts";
import type { PolicyFeature } from "./policy.ts";

export type Score = {
  readonly score: number;
  /** q: P(edge right). */
  readonly edgeRight: number;
  readonly cloudRight: number;
};

export type ScoringPolicy = Pick<RoutingPolicy, "features" | "edgeRight" | "cloudRight">;

export function scoreOf(policy: ScoringPolicy, calibrated: Calibrated): Score {
  const edgeRight = probabilityOf(policy.edgeRight, policy.features, calibrated);
  const cloudRight = probabilityOf(policy.cloudRight, policy.features, calibrated);
  return { score: cloudRight - edgeRight, edgeRight, cloudRight };
}

function probabilityOf(model: LogisticModel, features: readonly string[], calibrated: Calibrated): number {
  let sum = model.bias + (model.labelBias[calibrated.labelIndex] ?? 0);
  features.forEach((feature, i) => {
    sum += (model.weights[i] ?? 0) * calibrated[feature as PolicyFeature];
  });
  return sigmoid(sum);
}
