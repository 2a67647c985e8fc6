/**
 * The newest final answers, in memory.
 *
 * Of a frame's answers the one with the lowest offset stays (G2): a frame's records are in one partition, which is read in
 * order, so the first one read is it. Later ones are counted. At most `answersMax` are kept (G9): beyond them the device with the most
 * loses its oldest, so that one that answers often leaves the others theirs (G13).
 */
import type { Answer, AnswerFilter } from "@tributary/api";
import { OwnedOldest } from "@tributary/kernel";

export const matches = (answer: Answer, filter: AnswerFilter): boolean =>
  (filter.deviceId === undefined || answer.deviceId === filter.deviceId) &&
  (filter.source === undefined || answer.source === filter.source) &&
  (filter.settledBy === undefined || answer.settledBy === filter.settledBy);

export class AnswerRing {
  readonly #answersMax: number;
  readonly #onForgotten: (deviceId: string) => void;
  /** In order of arrival. */
  readonly #answers = new Map<string, Answer>();
  readonly #shares = new OwnedOldest<string>();

  constructor(answersMax: number, onForgotten: (deviceId: string) => void = () => {}) {
    this.#answersMax = answersMax;
    this.#onForgotten = onForgotten;
  }

  get size(): number {
    return this.#answers.size;
  }

  /** False when the frame already has its answer. */
  add(answer: Answer): boolean {
    if (this.#answers.has(answer.frameId)) return false;
    this.#answers.set(answer.frameId, answer);
    this.#shares.add(answer.frameId, answer.deviceId);
    const forgotten = this.#shares.beyond(this.#answersMax);
    if (forgotten === undefined) return true;
    this.#onForgotten(this.#answers.get(forgotten)?.deviceId ?? "");
    this.#answers.delete(forgotten);
    return true;
  }

  get(frameId: string): Answer | undefined {
    return this.#answers.get(frameId);
  }

  /** Newest first. */
  recent(filter: AnswerFilter, limit: number): Answer[] {
    const found: Answer[] = [];
    for (const answer of [...this.#answers.values()].reverse()) {
      if (found.length >= limit) break;
      if (matches(answer, filter)) found.push(answer);
    }
    return found;
  }
}
