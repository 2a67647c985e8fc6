/** Frames as a routing policy decides them: what the device sends of one, the router's final answer, and the true class. Every true class is
 * the same one, and each frame of the random sample has a label. A frame of it that the policy alone would have kept has a right answer of
 * the cloud, which is not the system's: whoever counts that finds a policy better than it is. */
import type { EdgePrediction, FinalAnswer } from "@tributary/contracts";
import type { Random } from "@tributary/kernel";
import { someAnswer, somePrediction } from "./builders.ts";

/** Of the system, by the policy that its device decides by. */
export type PolicyBehaviour = {
  /** Share of frames that it answers right; absent: nothing is labelled. */
  readonly accuracy?: number;
  /** Share of frames that the cloud is asked for. */
  readonly escalated?: number;
  /** Share of frames whose answer of the cloud is late; at most `escalated`. */
  readonly late?: number;
};

export type DecidedFrame = {
  readonly prediction: EdgePrediction;
  readonly answer: FinalAnswer;
};

type Decided = Pick<EdgePrediction, "frameSeq" | "ageMs" | "sampleDrawn" | "samplePropensity" | "latencyMs">;
type Decision = Pick<FinalAnswer, "policyVersion" | "arm" | "modelDigest">;

export const [TRUE_LABEL, WRONG_LABEL] = ["cat", "dog"] as const;
/** From capture to an answer of the cloud, and to the deadline. */
const [CLOUD_MS, DEADLINE_MS] = [60, 200] as const;
const CALL_COST_MICROS = 100n;

export function decidedFrame(
  frame: Decided,
  { policyVersion, arm, modelDigest }: Decision,
  { accuracy = 1, escalated = 0, late = 0 }: PolicyBehaviour,
  random: Random,
): DecidedFrame {
  const isWanted = random() < escalated;
  const isLate = isWanted && random() < late / escalated;
  const isRight = random() < accuracy;
  const { frameSeq, sampleDrawn, samplePropensity, latencyMs } = frame;
  const system = isRight ? TRUE_LABEL : WRONG_LABEL;
  const isByCloud = isWanted && !isLate;
  const edgeLabel = isByCloud ? WRONG_LABEL : system;
  const isSent = isWanted || sampleDrawn;
  const reason = isWanted ? "AMBIGUOUS" : sampleDrawn ? "SAMPLE" : "NONE";
  const escalation = isSent ? "QUEUED" : "NONE";
  const sample = { frameSeq, sampleDrawn, samplePropensity, reason } as const;
  const prediction = somePrediction({ ...frame, ...sample, label: edgeLabel, escalation, wouldSend: isWanted });
  const kept = { policyVersion, arm, modelDigest, ...sample, label: edgeLabel, edgeLabel, latencyMs };
  if (!isSent) return { prediction, answer: someAnswer(kept) };
  const asked = { cloudTarget: "default", costMicros: CALL_COST_MICROS };
  if (isLate)
    return { prediction, answer: someAnswer({ ...kept, ...asked, settledBy: "DEADLINE", latencyMs: DEADLINE_MS }) };
  const label = isByCloud ? system : TRUE_LABEL;
  const cloud = { source: "CLOUD", settledBy: "CLOUD_ANSWER", label, cloudLabel: label, latencyMs: CLOUD_MS } as const;
  return { prediction, answer: someAnswer({ ...kept, ...asked, ...cloud }) };
}
