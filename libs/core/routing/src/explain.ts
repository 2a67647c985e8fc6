/** Why a frame went where it went, from what was logged: every number is either read from the record or derived in sight.
 * A person, `router explain` and the device's own page show the same lines. */
import type { DropReason, Escalation, EscalationReason, RoutingPolicy } from "@tributary/contracts";
import { type Calibrated, logitMarginOf } from "./calibrate.ts";
import { priorityOf } from "./device.ts";
import { samplePropensity } from "./sample.ts";
import { scoreOf } from "./score.ts";

export type ExplainedPrediction = {
  readonly label: string;
  readonly confidence: number;
  readonly margin: number;
  /** Null where only the final answer is at hand. */
  readonly entropy: number | null;
  readonly score: number;
  readonly reason: EscalationReason;
  readonly sampleCorrectness: number;
  readonly samplePropensity: number;
  readonly sampleDrawn: boolean;
  readonly escalation: Escalation | null;
  readonly dropReason: DropReason | null;
};

export type ExplanationStep = {
  /** E.g. score, priority, ambiguous, sample, budget. */
  readonly name: string;
  /** The numbers of this step, by name. */
  readonly values: Readonly<Record<string, number | string | boolean | null>>;
  /** One sentence for people. */
  readonly text: string;
};

export function explainOnDevice(policy: RoutingPolicy, prediction: ExplainedPrediction): readonly ExplanationStep[] {
  const labelIndex = policy.labels.indexOf(prediction.label);
  const calibrated: Calibrated = {
    labelIndex,
    confidence: prediction.confidence,
    margin: prediction.margin,
    entropy: prediction.entropy ?? 0,
    logitMargin: logitMarginOf(prediction.confidence, prediction.margin),
  };
  const recomputable = prediction.entropy !== null || !policy.features.includes("entropy");
  const rule = priorityOf(policy, calibrated);
  return [
    answerStep(prediction),
    scoreStep(policy, prediction, recomputable ? calibrated : null),
    {
      name: "priority",
      values: { label: prediction.label, confidenceMin: rule?.confidenceMin ?? null },
      text:
        rule !== null
          ? `"${rule.label}" from confidence ${round(rule.confidenceMin)} on is a priority class.`
          : prediction.reason === "PRIORITY"
            ? "An external trigger asked for the cloud."
            : `"${prediction.label}" at this confidence is not a priority class.`,
    },
    {
      name: "ambiguous",
      values: { score: prediction.score, scoreMin: policy.scoreMin },
      text: `Score ${round(prediction.score)} is ${prediction.score > policy.scoreMin ? "above" : "not above"} the policy's ${round(policy.scoreMin)}. ${guaranteeText(policy)}`,
    },
    {
      name: "sample",
      values: {
        q: prediction.sampleCorrectness,
        pi: prediction.samplePropensity,
        piRecomputed: samplePropensity(policy, prediction.sampleCorrectness),
        drawn: prediction.sampleDrawn,
      },
      text: `With q = ${round(prediction.sampleCorrectness)} the random sample draws it with probability ${round(prediction.samplePropensity)}; it was ${prediction.sampleDrawn ? "" : "not "}drawn.`,
    },
    outcomeStep(policy, prediction),
  ];
}

const answerStep = (prediction: ExplainedPrediction): ExplanationStep => ({
  name: "answer",
  values: { label: prediction.label, confidence: prediction.confidence, margin: prediction.margin },
  text: `The device answered "${prediction.label}" with confidence ${round(prediction.confidence)}, margin ${round(prediction.margin)}.`,
});

function scoreStep(
  policy: RoutingPolicy,
  prediction: ExplainedPrediction,
  calibrated: Calibrated | null,
): ExplanationStep {
  if (calibrated === null) {
    return {
      name: "score",
      values: { score: prediction.score, edgeRight: prediction.sampleCorrectness },
      text: `P(edge right) = ${round(prediction.sampleCorrectness)}, gain expected of the cloud ${round(prediction.score)}, as logged.`,
    };
  }
  const { score, edgeRight, cloudRight } = scoreOf(policy, calibrated);
  return {
    name: "score",
    values: { score: prediction.score, scoreRecomputed: score, edgeRight, cloudRight },
    text: `P(cloud right) ${round(cloudRight)} - P(edge right) ${round(edgeRight)} = ${round(score)} expected gain.`,
  };
}

function outcomeStep(policy: RoutingPolicy, prediction: ExplainedPrediction): ExplanationStep {
  const values = {
    reason: prediction.reason,
    escalation: prediction.escalation,
    dropReason: prediction.dropReason,
    escalationShareMax: policy.escalationShareMax,
  };
  const text = {
    UNKNOWN: "What became of the frame is not known to this version.",
    NONE: "Nothing asked for the cloud: the frame was kept, its edge answer is final.",
    QUEUED: `It was queued for the cloud: ${prediction.reason}.`,
    DROPPED: `It was wanted (${prediction.reason}) but dropped: ${prediction.dropReason ?? "UNKNOWN"}; the edge answer is final.`,
  }[prediction.escalation ?? (prediction.reason === "NONE" ? "NONE" : "UNKNOWN")];
  return { name: "outcome", values, text };
}

function guaranteeText(policy: RoutingPolicy): string {
  const { method, epsilon, delta, n, losses } = policy.guarantee;
  const how = method === "LEARN_THEN_TEST" ? "Learn then Test" : "the budget";
  return `Set by ${how}: with probability ${round(1 - delta)} at most ${round(100 * epsilon)} % of frames lose a right cloud answer (${losses} of ${n} on validation).`;
}

const round = (value: number): number => Number(value.toPrecision(4));
