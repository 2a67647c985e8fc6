/**
 * The labels in ground-truth.v1, so that a label that is sent twice is written once and nobody is asked for it again.
 *
 * The newest record of a frame holds. At most `framesMax` frames are remembered (G9); the one labelled longest ago is
 * forgotten first. A label of a forgotten frame may be written again, which changes nothing for its readers.
 */
import { type GroundTruth, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow } from "@tributary/kafka";
import { formatFrameId, Oldest } from "@tributary/kernel";

/** `people`: who labelled it, at most two of them. */
export type KnownLabel = Pick<GroundTruth, "label" | "source"> & { readonly people: readonly string[] };

const PEOPLE_MAX = 2;

export class LabelTable {
  readonly #framesMax: number;
  readonly #labels = new Map<string, KnownLabel>();
  readonly #oldest = new Oldest(this.#labels);
  readonly #onLabel: (frameId: string) => void;

  constructor(framesMax: number, onLabel: (frameId: string) => void) {
    this.#framesMax = framesMax;
    this.#onLabel = onLabel;
  }

  get count(): number {
    return this.#labels.size;
  }

  follow(context: FollowContext): Promise<Following> {
    return follow(context, topics.groundTruth, (value) => value && this.add(value));
  }

  add(truth: GroundTruth): void {
    const frameId = formatFrameId(truth);
    const { label, source, labelledBy } = truth;
    const before = this.#labels.get(frameId)?.people ?? [];
    const people = before.includes(labelledBy) ? before : [...before, labelledBy].slice(-PEOPLE_MAX);
    this.#labels.delete(frameId);
    this.#labels.set(frameId, { label, source, people });
    this.#oldest.trim(this.#framesMax);
    this.#onLabel(frameId);
  }

  has(frameId: string): boolean {
    return this.#labels.has(frameId);
  }

  get(frameId: string): KnownLabel | undefined {
    return this.#labels.get(frameId);
  }

  /** Of the same person: what a second one finds is worth to be known. */
  holds(frameId: string, { label, source, labelledBy }: Pick<GroundTruth, "label" | "source" | "labelledBy">): boolean {
    const known = this.#labels.get(frameId);
    return known !== undefined && known.label === label && known.source === source && known.people.includes(labelledBy);
  }
}
