/** The labels of one camera that may be repeated, and when their own frames were captured: the last one of a model, and the cloud's about a later frame. */
import { labelToRepeat } from "@tributary/driving";
import type { Inferred } from "../slots.ts";

/** The cloud's answer to a frame, number `frameSeq` of its camera. */
export type CloudAnswer = { readonly label: string; readonly confidence: number; readonly frameSeq: number };

/** A label that is repeated. `capturedAt`: of its own frame, monotonic. */
export type Repeated = {
  readonly capturedAt: number;
  /** It is older than it may be, and no answer. */
  readonly isTooOld: boolean;
};

export type RepeatedAnswer = Inferred & { readonly repeated: Repeated; readonly replacement?: CloudAnswer };

type Own = { readonly capturedAt: number; readonly inferred: Inferred };
type Cloud = { readonly capturedAt: number; readonly answer: CloudAnswer };

/** Numbers of frames whose answer may still come from the cloud. */
const NUMBERS_MAX = 1_024;

export class Labels {
  readonly #ageMsMax: number;
  #own: Own | null = null;
  #cloud: Cloud | null = null;
  /** When frames with a number were captured. */
  readonly #capturedAt = new Map<number, number>();

  constructor(ageMsMax: number) {
    this.#ageMsMax = ageMsMax;
  }

  answeredByModel(inferred: Inferred, capturedAt: number): void {
    this.#own = { inferred, capturedAt };
  }

  numbered(frameSeq: number, capturedAt: number): void {
    this.#capturedAt.delete(frameSeq);
    this.#capturedAt.set(frameSeq, capturedAt);
    for (const [seq, at] of this.#capturedAt) {
      if (capturedAt - at <= this.#ageMsMax && this.#capturedAt.size <= NUMBERS_MAX) break;
      this.#capturedAt.delete(seq);
    }
  }

  /** One about a frame whose capture is not known any more is too old. */
  cloudAnswered(answer: CloudAnswer): void {
    const capturedAt = this.#capturedAt.get(answer.frameSeq);
    if (capturedAt === undefined || capturedAt <= (this.#cloud?.capturedAt ?? Number.NEGATIVE_INFINITY)) return;
    this.#cloud = { capturedAt, answer };
  }

  /** Null: no model has ever answered. */
  toRepeat(now: number): RepeatedAnswer | null {
    const own = this.#own;
    if (own === null) return null;
    const found = labelToRepeat(own, this.#cloud, now, this.#ageMsMax);
    const repeated = { capturedAt: found?.label.capturedAt ?? own.capturedAt, isTooOld: found === null };
    const cloud = found?.label === this.#cloud ? this.#cloud : null;
    return cloud === null ? { ...own.inferred, repeated } : { ...own.inferred, repeated, replacement: cloud.answer };
  }
}
