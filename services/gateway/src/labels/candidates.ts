/**
 * Frames that are worth a person's label whether or not a training waits for them, newest first within each kind.
 *
 * Drawn samples come first: their draw does not depend on what a model answers, so their labels count for all frames. Then
 * come frames of which edge and cloud disagree. At most `framesMax` of each kind are kept; the oldest leave first (G9), as
 * Kafka's retention removes their pictures anyway.
 */
import type { Answer, NextLabel } from "@tributary/api";
import { Oldest } from "@tributary/kernel";

type Why = Exclude<NextLabel["why"], "TRAINING">;
export type Candidate = { readonly why: Why; readonly answer: Answer };

export class LabelCandidates {
  readonly #framesMax: number;
  readonly #kinds: Readonly<Record<Why, Map<string, Answer>>> = { SAMPLE: new Map(), DISAGREEMENT: new Map() };
  readonly #oldest = { SAMPLE: new Oldest(this.#kinds.SAMPLE), DISAGREEMENT: new Oldest(this.#kinds.DISAGREEMENT) };

  constructor(framesMax: number) {
    this.#framesMax = framesMax;
  }

  get count(): number {
    return this.#kinds.SAMPLE.size + this.#kinds.DISAGREEMENT.size;
  }

  /** A frame's final answer. */
  offer(answer: Answer): void {
    const why = whyOf(answer);
    if (why === undefined) return;
    this.#kinds[why].set(answer.frameId, answer);
    this.#oldest[why].trim(this.#framesMax);
  }

  /** It has its label. */
  drop(frameId: string): void {
    for (const kind of Object.values(this.#kinds)) kind.delete(frameId);
  }

  next(filter: { readonly deviceId?: string | undefined; readonly why?: Why | undefined }, limit: number): Candidate[] {
    const found: Candidate[] = [];
    for (const why of ["SAMPLE", "DISAGREEMENT"] as const) {
      if (filter.why !== undefined && filter.why !== why) continue;
      for (const answer of [...this.#kinds[why].values()].reverse()) {
        if (found.length >= limit) return found;
        if (filter.deviceId === undefined || answer.deviceId === filter.deviceId) found.push({ why, answer });
      }
    }
    return found;
  }
}

function whyOf(answer: Answer): Why | undefined {
  if (answer.sampleDrawn) return "SAMPLE";
  return answer.cloudLabel !== null && answer.cloudLabel !== answer.edgeLabel ? "DISAGREEMENT" : undefined;
}
