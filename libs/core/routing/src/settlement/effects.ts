/** What one step of the fold asks its caller to do, in this order: answers, requests, then the states of `touched`. */

import type { Classifications, CloudRequest, FinalAnswer, SettledBy } from "@tributary/contracts";
import type { Unfair } from "./admission.ts";

export type Lane = "high" | "normal";

/** What happened, for telemetry. */
export type Note =
  | { readonly kind: "settled"; readonly answer: FinalAnswer }
  | { readonly kind: "duplicate"; readonly stream: "frames" | "predictions"; readonly deviceId: string }
  | { readonly kind: "alreadyAnswered"; readonly deviceId: string; readonly frames: number }
  | { readonly kind: "resultIgnored"; readonly why: "late" | "unknown"; readonly deviceId: string }
  | { readonly kind: "refused"; readonly why: SettledBy; readonly deviceId: string }
  /** More than its device's fair share, while that of others would have had to give. */
  | { readonly kind: "unfair"; readonly why: Unfair; readonly deviceId: string }
  | { readonly kind: "leftToPrediction"; readonly deviceId: string }
  | { readonly kind: "evicted"; readonly what: "settled" | "open" | "boot"; readonly deviceId: string }
  | {
      readonly kind: "holes";
      readonly stream: "frames" | "predictions";
      readonly deviceId: string;
      readonly records: number;
    }
  | { readonly kind: "cloudLatency"; readonly latencyMs: number; readonly outcome: string };

export class Effects {
  readonly answers: Classifications[] = [];
  readonly requests: { readonly lane: Lane; readonly request: CloudRequest }[] = [];
  readonly touched = new Set<string>();
  readonly notes: Note[] = [];
  /** Answers in all records; what bounds a step. */
  answerCount = 0;

  answer(deviceId: string, bootId: bigint, answers: readonly FinalAnswer[]): void {
    if (answers.length === 0) return;
    this.answers.push({ deviceId, bootId, answers });
    this.answerCount += answers.length;
    for (const answer of answers) this.notes.push({ kind: "settled", answer });
  }
}
