/**
 * Frames that are worth a person's label whether or not a training waits for them, newest first within each kind.
 *
 * Drawn samples come first: their draw does not depend on what a model answers, so their labels count for all frames. Then
 * come frames of which edge and cloud disagree. At most `framesMax` of each kind are kept (G9), as Kafka's retention removes their
 * pictures anyway: beyond them the device with the most loses its oldest. While others wait, a device has at most 5 % of the places of
 * a list, or an equal part of it (G13): people's time is what is shared.
 */
import type { Answer, NextLabel } from "@tributary/api";
import { OwnedOldest } from "@tributary/kernel";
import { fairPlaces } from "./fair-places.ts";

type Why = Exclude<NextLabel["why"], "TRAINING">;
export type Candidate = { readonly why: Why; readonly answer: Answer };

const WHYS = ["SAMPLE", "DISAGREEMENT"] as const;

type Kind = { readonly frames: Map<string, Answer>; readonly shares: OwnedOldest<string> };
const emptyKind = (): Kind => ({ frames: new Map(), shares: new OwnedOldest() });

export class LabelCandidates {
  readonly #framesMax: number;
  readonly #onForgotten: (deviceId: string) => void;
  readonly #kinds: Readonly<Record<Why, Kind>> = { SAMPLE: emptyKind(), DISAGREEMENT: emptyKind() };

  constructor(framesMax: number, onForgotten: (deviceId: string) => void = () => {}) {
    this.#framesMax = framesMax;
    this.#onForgotten = onForgotten;
  }

  get count(): number {
    return this.#kinds.SAMPLE.frames.size + this.#kinds.DISAGREEMENT.frames.size;
  }

  /** A frame's final answer. */
  offer(answer: Answer): void {
    const why = whyOf(answer);
    if (why === undefined) return;
    const { frames, shares } = this.#kinds[why];
    frames.set(answer.frameId, answer);
    shares.add(answer.frameId, answer.deviceId);
    const forgotten = shares.beyond(this.#framesMax);
    if (forgotten === undefined) return;
    this.#onForgotten(frames.get(forgotten)?.deviceId ?? "");
    frames.delete(forgotten);
  }

  /** It has its label. */
  drop(frameId: string): void {
    for (const { frames, shares } of Object.values(this.#kinds)) {
      frames.delete(frameId);
      shares.delete(frameId);
    }
  }

  next(filter: { readonly deviceId?: string | undefined; readonly why?: Why | undefined }, limit: number): Candidate[] {
    const found: Candidate[] = [];
    const taken = new Map<string, number>();
    for (const why of WHYS) {
      if (filter.why !== undefined && filter.why !== why) continue;
      const answers = [...this.#kinds[why].frames.values()].reverse();
      const wanted = answers.filter(({ deviceId }) => filter.deviceId === undefined || filter.deviceId === deviceId);
      const listed = fairPlaces(wanted, ({ deviceId }) => deviceId, { left: limit - found.length, all: limit, taken });
      found.push(...listed.map((answer) => ({ why, answer })));
    }
    return found;
  }
}

function whyOf(answer: Answer): Why | undefined {
  if (answer.sampleDrawn) return "SAMPLE";
  return answer.cloudLabel !== null && answer.cloudLabel !== answer.edgeLabel ? "DISAGREEMENT" : undefined;
}
