/**
 * The newest frames of the frame archive, as the label queue needs them: their pictures stay after Kafka deleted theirs.
 *
 * Of one frame the newest record holds. At most `framesMax` are remembered (G9): beyond them the device with the most loses those
 * that were archived first (G13). Those whose picture expired are not listed.
 */
import { type ArchivedFrame, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow } from "@tributary/kafka";
import { formatFrameId, type Instant, OwnedOldest } from "@tributary/kernel";

/** Partitions are filled unevenly, so of each one more than its share is read back at the start. */
const SHARE_OF_PARTITION = 1 / 8;

export class ArchivedFrames {
  readonly #framesMax: number;
  readonly #frames = new Map<string, ArchivedFrame>();
  readonly #shares = new OwnedOldest<string>();
  readonly #onForgotten: (deviceId: string) => void;

  constructor(framesMax: number, onForgotten: (deviceId: string) => void = () => {}) {
    this.#framesMax = framesMax;
    this.#onForgotten = onForgotten;
  }

  get count(): number {
    return this.#frames.size;
  }

  follow(context: FollowContext): Promise<Following> {
    const newest = Math.ceil(this.#framesMax * SHARE_OF_PARTITION);
    return follow(context, topics.archivedFrames, (frame) => frame && this.add(frame), { newest });
  }

  add(frame: ArchivedFrame): void {
    const frameId = formatFrameId(frame);
    this.#frames.delete(frameId);
    this.#frames.set(frameId, frame);
    this.#shares.add(frameId, frame.deviceId);
    const forgotten = this.#shares.beyond(this.#framesMax);
    if (forgotten === undefined) return;
    this.#onForgotten(this.#frames.get(forgotten)?.deviceId ?? "");
    this.#frames.delete(forgotten);
  }

  get(frameId: string): ArchivedFrame | undefined {
    return this.#frames.get(frameId);
  }

  /** Those whose pictures are there. */
  *present(now: Instant): Generator<readonly [frameId: string, frame: ArchivedFrame]> {
    for (const entry of this.#frames) if (entry[1].expiresAt > now) yield entry;
  }
}
