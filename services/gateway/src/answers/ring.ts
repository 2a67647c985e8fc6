/**
 * The newest final answers, in memory.
 *
 * Of a frame's answers the one with the lowest offset stays (G2): a frame's records are in one partition, which is read in
 * order, so the first one read is it. Later ones are counted. At most `answersMax` are kept; the oldest leave first (G9).
 */
import type { Answer, AnswerFilter } from "@tributary/api";
import { Oldest } from "@tributary/kernel";

export const matches = (answer: Answer, filter: AnswerFilter): boolean =>
  (filter.deviceId === undefined || answer.deviceId === filter.deviceId) &&
  (filter.source === undefined || answer.source === filter.source) &&
  (filter.settledBy === undefined || answer.settledBy === filter.settledBy);

export class AnswerRing {
  readonly #answersMax: number;
  /** In order of arrival. */
  readonly #answers = new Map<string, Answer>();
  readonly #oldest = new Oldest(this.#answers);

  constructor(answersMax: number) {
    this.#answersMax = answersMax;
  }

  get size(): number {
    return this.#answers.size;
  }

  /** False when the frame already has its answer. */
  add(answer: Answer): boolean {
    if (this.#answers.has(answer.frameId)) return false;
    this.#answers.set(answer.frameId, answer);
    this.#oldest.trim(this.#answersMax);
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
