/**
 * What ground-truth.v1 says of frames, so that a label said twice is written once and nobody is asked again.
 *
 * T1. The newest record of a frame holds.
 * T2. At most `framesMax` frames are remembered (G9), the longest unheard leave first. Of a forgotten one a label may be
 *     written again, which changes nothing for its readers (T1).
 */
import { type GroundTruth, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow } from "@tributary/kafka";
import { formatFrameId } from "@tributary/kernel";

type Said = Pick<GroundTruth, "label" | "source">;

export class LabelTable {
  readonly #framesMax: number;
  readonly #said = new Map<string, Said>();
  readonly #onLabel: (frameId: string) => void;

  constructor(framesMax: number, onLabel: (frameId: string) => void) {
    this.#framesMax = framesMax;
    this.#onLabel = onLabel;
  }

  get count(): number {
    return this.#said.size;
  }

  follow(context: FollowContext): Promise<Following> {
    return follow(context, topics.groundTruth, (value) => value && this.add(value));
  }

  add(truth: GroundTruth): void {
    const frameId = formatFrameId(truth);
    this.#said.delete(frameId);
    this.#said.set(frameId, { label: truth.label, source: truth.source }); // T1
    const oldest = this.#said.keys().next();
    if (this.#said.size > this.#framesMax && !oldest.done) this.#said.delete(oldest.value); // T2
    this.#onLabel(frameId);
  }

  has(frameId: string): boolean {
    return this.#said.has(frameId);
  }

  says(frameId: string, label: string | null, source: GroundTruth["source"]): boolean {
    const said = this.#said.get(frameId);
    return said !== undefined && said.label === label && said.source === source;
  }
}
