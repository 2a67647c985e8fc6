/** Conversion of a verdict to the fields of a result. */
import type { CloudOutcome as CloudOutcomeName, CloudResult } from "@tributary/contracts";
import { Failure } from "@tributary/kernel";
import type { Verdict } from "./target.ts";

export type Settled = Pick<
  CloudResult,
  | "outcome"
  | "label"
  | "confidence"
  | "margin"
  | "failureCode"
  | "modelDigest"
  | "servedBy"
  | "attempts"
  | "costMicros"
  | "answeredBy"
>;

const NO_ANSWER = { label: null, confidence: null, margin: null, modelDigest: null, servedBy: null };

/** No target was asked. */
export const unasked = (outcome: CloudOutcomeName, failureCode: string): Settled => ({
  ...NO_ANSWER,
  outcome,
  failureCode,
  attempts: 0,
  costMicros: 0n,
  answeredBy: null,
});

export const EXPIRED = unasked("EXPIRED", "deadline-passed");

export function settledBy(verdict: Verdict, answeredBy: string | null): Settled {
  const spent = { attempts: verdict.attempts, costMicros: BigInt(verdict.costMicros), answeredBy };
  const failed = (outcome: CloudOutcomeName, failureCode: string): Settled => ({
    ...NO_ANSWER,
    outcome,
    failureCode,
    ...spent,
  });
  switch (verdict.kind) {
    case "expired":
      return failed("EXPIRED", verdict.code);
    case "overloaded":
      return failed("OVERLOADED", "queue-full");
    case "closing":
      throw new Failure("classifier-closing", "retry", "the classifier is stopping; the request stays in Kafka");
    case "outcome": {
      const { outcome } = verdict;
      if (outcome.kind !== "answered") return failed(outcome.kind === "refused" ? "REFUSED" : "FAILED", outcome.code);
      const { label, confidence, margin, modelDigest, servedBy = null } = outcome;
      return { outcome: "ANSWERED", label, confidence, margin, failureCode: null, modelDigest, servedBy, ...spent };
    }
    default:
      return verdict satisfies never;
  }
}
