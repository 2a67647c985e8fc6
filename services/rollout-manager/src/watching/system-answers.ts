/** What the system answered, and by which policy: for experiments and for rollouts of policies.
 *
 * S1. A frame of the random sample was sent whatever its policy decided. Had the policy alone decided (`wouldSend`), it would have the
 *     device's answer or the cloud's; so of drawn frames both records are needed, the device's and the router's.
 * S2. An agent that does not say whether its policy would have sent a frame: it would if it wanted to, the sample apart.
 * S3. A wanted answer is late if none came by the deadline because the cloud was too slow, or was not asked since it would have been, or
 *     failed. What a budget left out was not wanted at that price, and is not late.
 * S4. (G9) Frames that wait for their other record are bounded; the oldest go. */
import type { EdgePrediction, FinalAnswer } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import { isLate } from "@tributary/routing";
import { Newest } from "./newest.ts";

/** A frame as its policy alone would have had it settled. */
export type SystemAnswer = {
  readonly policyVersion: string;
  readonly label: string;
  readonly isLate: boolean;
  /** From capture to the final answer, in ms. */
  readonly latencyMs: number;
  /** Of the cloud call, if the policy wanted one. */
  readonly costMicros: number;
  readonly at: Instant;
};

/** S2 */
export const isWanted = ({ wouldSend, escalation, sampleDrawn, reason }: EdgePrediction): boolean =>
  wouldSend ?? (sampleDrawn ? reason !== "SAMPLE" : escalation === "QUEUED");

/** By the router's record alone, where the sample did not draw the frame. */
export const answerOf = (answer: FinalAnswer, at: Instant): SystemAnswer => ({
  policyVersion: answer.policyVersion,
  label: answer.label,
  isLate: isLate(answer.settledBy),
  latencyMs: answer.latencyMs,
  costMicros: Number(answer.costMicros),
  at,
});

type Waiting = {
  readonly prediction?: { readonly isWanted: boolean; readonly latencyMs: number };
  readonly answer?: { readonly answer: FinalAnswer; readonly at: Instant };
};

/** What a restarted instance needs, by frame. */
export type DrawnAnswersState = ReadonlyMap<string, Waiting>;

/** Brings the two records of drawn frames together, whichever comes first. */
export class DrawnAnswers {
  readonly #waiting: Newest<Waiting>;

  constructor(max: number) {
    this.#waiting = new Newest(max); // S4
  }

  state(): DrawnAnswersState {
    return this.#waiting.state();
  }

  /** Into one that has taken nothing yet. */
  restore(waiting: DrawnAnswersState): void {
    for (const [frame, one] of waiting) this.#waiting.set(frame, one);
  }

  /** Undefined: the other record is still to come. */
  predicted(frameId: string, prediction: EdgePrediction): SystemAnswer | undefined {
    const { latencyMs } = prediction;
    return this.#with(frameId, { prediction: { isWanted: isWanted(prediction), latencyMs } });
  }

  answered(frameId: string, answer: FinalAnswer, at: Instant): SystemAnswer | undefined {
    return this.#with(frameId, { answer: { answer, at } });
  }

  #with(frameId: string, news: Waiting): SystemAnswer | undefined {
    const { prediction, answer: answered } = { ...this.#waiting.get(frameId), ...news };
    this.#waiting.delete(frameId);
    if (prediction === undefined || answered === undefined) {
      this.#waiting.set(frameId, { ...(prediction && { prediction }), ...(answered && { answer: answered }) });
      return undefined;
    }
    const { answer, at } = answered;
    if (prediction.isWanted) return answerOf(answer, at);
    const { policyVersion, edgeLabel: label } = answer;
    return { policyVersion, label, isLate: false, latencyMs: prediction.latencyMs, costMicros: 0, at }; // S1
  }
}
