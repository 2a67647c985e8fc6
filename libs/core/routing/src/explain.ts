/** Why a frame went where it went, from what was logged: every number is either read from the record or derived in sight. */
import type {
  Admission,
  DropReason,
  Escalation,
  EscalationReason,
  RoutingPolicy,
  SettledBy,
} from "@tributary/contracts";
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

export type ExplainedAdmission = {
  readonly admission: Admission;
  readonly reason: EscalationReason;
  readonly sampleDrawn: boolean;
  readonly score: number;
  readonly settledBy: SettledBy;
};

/** What the router weighed, by the numbers it wrote into the answer. */
export function explainInRouter(answer: ExplainedAdmission): readonly ExplanationStep[] {
  const { admission, reason, sampleDrawn, score, settledBy } = answer;
  const { lambda, utility, reachProbability, tokens } = admission;
  const isPriced = reason === "AMBIGUOUS" && !sampleDrawn;
  return [
    {
      name: "reach",
      values: { reachProbability },
      text: `The cloud was expected to answer in time with probability ${round(reachProbability)}.`,
    },
    {
      name: "price",
      values: { score, utility, lambda },
      text: isPriced
        ? `Its utility ${round(utility)} was ${utility > lambda ? "above" : "not above"} ${round(lambda)}, the price of a cloud call.`
        : `The price of a cloud call was ${round(lambda)}; ${sampleDrawn ? "a drawn frame" : reason} does not pay it.`,
    },
    {
      name: "budget",
      values: { tokens },
      text: `The fleet's budget held ${round(tokens)} calls${sampleDrawn ? "; the sample has its own" : ""}.`,
    },
    { name: "outcome", values: { settledBy }, text: OUTCOMES[settledBy] },
  ];
}

const OUTCOMES: Readonly<Record<SettledBy, string>> = {
  UNKNOWN: "What settled the frame is not known to this version.",
  KEPT: "The frame was kept on its device.",
  CLOUD_ANSWER: "The cloud was asked and answered in time.",
  DEADLINE: "The deadline came before an answer of the cloud; the edge answer is final.",
  DEADLINE_UNREACHABLE: "It was not sent: too few answers come in time; the edge answer is final.",
  FLEET_BUDGET: "The fleet's budget or the bound of open frames did not allow it; the edge answer is final.",
  CLOUD_UNHEALTHY: "The cloud target was unhealthy or overloaded; the edge answer is final.",
  CLOUD_FAILED: "The cloud was asked and failed; the edge answer is final.",
  FRAME_REFUSED: "The cloud was asked and could not use the picture; the edge answer is final.",
  DEVICE_DROPPED: "The device dropped it.",
};

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
  return `Set by ${how}: with probability ${round(1 - delta)} at most ${round(100 * epsilon)} % of frames lose a right cloud answer (${losses} of ${n} frames with a known truth).`;
}

const round = (value: number): number => Number(value.toPrecision(4));
