/**
 * A device that keeps what was not acknowledged, as the contract says: batches until their PUBACK, pictures until their deadline,
 * each stream in order. A batch says how old its frames are when it leaves, and that a picture will not follow.
 */
import { formatFrameId } from "@tributary/kernel";
import { somePrediction } from "@tributary/testing";
import type { Talker } from "../talker.ts";

const CAMERA = "cam";
const DEADLINE_MS = 5_000;
/** One of so many frames is sent to the cloud. */
const SENT_EVERY = 25;
/** Records of a stream that are published and not acknowledged. */
const WINDOW = 4;
/** Where a frame was taken: what makes a prediction as large as it may be. */
const CONTEXT = JSON.stringify({ road: "x".repeat(480) });

type Frame = { readonly frameSeq: bigint; readonly atMs: number; readonly isSent: boolean };

export class Keeper {
  readonly #talker: Talker;
  readonly #batches: Outbox<readonly Frame[]>;
  readonly #pictures: Outbox<Frame>;
  readonly acknowledged: string[] = [];
  shown = 0;

  constructor(talker: Talker, onBytes: (bytes: number) => void) {
    this.#talker = talker;
    this.#batches = new Outbox(async (frames) => {
      await talker.batch(frames.map(predictionOf));
      onBytes(frames.length * PREDICTION_BYTES);
      for (const { frameSeq } of frames) this.acknowledged.push(this.#idOf(frameSeq));
    });
    this.#pictures = new Outbox(async (frame) => {
      const ageMs = performance.now() - frame.atMs;
      if (ageMs > DEADLINE_MS) return; // It is settled by its prediction.
      await talker.frame({ ...seenOf(frame), ageMs });
    });
  }

  get deviceId(): string {
    return this.#talker.deviceId;
  }

  /** Frames whose batch is not acknowledged. */
  get kept(): number {
    return this.shown - this.acknowledged.length;
  }

  /** The longest time that an acknowledgement took, or takes. */
  get heldMsMax(): number {
    return Math.max(this.#batches.waitMsMax, this.#pictures.waitMsMax);
  }

  show(count: number): void {
    const frames = Array.from({ length: count }, () => {
      const frameSeq = this.#talker.nextFrame();
      return { frameSeq, atMs: performance.now(), isSent: frameSeq % BigInt(SENT_EVERY) === 0n };
    });
    this.shown += count;
    for (const frame of frames) if (frame.isSent) this.#pictures.put(frame);
    this.#batches.put(frames);
  }

  #idOf(frameSeq: bigint): string {
    const { deviceId, bootId } = this.#talker;
    return formatFrameId({ deviceId, bootId, cameraId: CAMERA, frameSeq });
  }
}

/** About what one is in a record, with its context. */
export const PREDICTION_BYTES = 700;

const seenOf = ({ frameSeq }: Frame) =>
  ({ frameSeq, reason: "AMBIGUOUS", score: 0.3, deadlineMs: DEADLINE_MS }) as const;

function predictionOf(frame: Frame) {
  const ageMs = performance.now() - frame.atMs;
  const context = CONTEXT;
  if (!frame.isSent) return somePrediction({ frameSeq: frame.frameSeq, ageMs, context });
  const isLate = ageMs > DEADLINE_MS;
  return somePrediction({
    ...seenOf(frame),
    ageMs,
    context,
    escalation: isLate ? "DROPPED" : "QUEUED",
    dropReason: isLate ? "EXPIRED" : "NONE",
  });
}

/** Publishes in order, a few at once, and again what the connection lost. */
class Outbox<T> {
  readonly #publish: (item: T) => Promise<void>;
  readonly #items: T[] = [];
  readonly #sinceMs = new Set<{ readonly fromMs: number }>();
  #waitMsMax = 0;

  constructor(publish: (item: T) => Promise<void>) {
    this.#publish = publish;
  }

  get waitMsMax(): number {
    const [oldest] = this.#sinceMs;
    return Math.max(this.#waitMsMax, oldest === undefined ? 0 : performance.now() - oldest.fromMs);
  }

  put(item: T): void {
    this.#items.push(item);
    this.#fill();
  }

  #fill(): void {
    while (this.#sinceMs.size < WINDOW) {
      const item = this.#items.shift();
      if (item === undefined) return;
      const since = { fromMs: performance.now() };
      this.#sinceMs.add(since);
      this.#publish(item)
        .catch(() => {}) // Only at the end: the client publishes again by itself what a connection lost.
        .finally(() => {
          this.#sinceMs.delete(since);
          this.#waitMsMax = Math.max(this.#waitMsMax, performance.now() - since.fromMs);
          this.#fill();
        });
    }
  }
}
