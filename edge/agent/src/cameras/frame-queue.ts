/**
 * Frames between a camera and the model.
 *
 * Q1. At most `framesMax` wait. With `skip` the oldest is dropped and counted, before it has a number, so that
 *     every numbered frame gets an answer (G2, G9). With `wait` the source is paused, and bytes that were already read
 *     (less than one read of its pipe) are kept.
 * Q2. A frame is captured when its first bytes came (@tributary/driving, capture-times.ts A1). Of a camera with a deadline one that is not whole in time, or is dropped, is
 *     handed to `onRefused`, once, and is not offered afterwards.
 */
import { monotonicMs } from "../device-time.ts";
import type { Captured } from "../outbox/age.ts";

/** `stampMs`: the camera's own time of it, as the camera states it; null: it states none. */
export type CameraFrame = {
  readonly cameraId: string;
  readonly jpeg: Buffer;
  readonly captured: Captured;
  readonly stampMs: number | null;
};

type Begun = Pick<CameraFrame, "captured" | "stampMs">;

/** A frame that has no picture. */
export type RefusedFrame = Omit<CameraFrame, "jpeg"> & { readonly code: string };

export const FRAME_INCOMPLETE = "camera-frame-incomplete";

export type FrameQueueOptions = {
  readonly cameraId: string;
  /** A frame of a camera with a deadline has to be whole so long after its first bytes. */
  readonly wholeMsMax?: number | undefined;
  readonly framesMax: number;
  readonly whenFull: "skip" | "wait";
};

export class FrameQueue {
  readonly cameraId: string;
  readonly #options: FrameQueueOptions;
  readonly #now: (stampMs: number | null) => Captured;
  readonly #onSkipped: (frame: CameraFrame) => void;
  #begun: Begun | undefined;
  #isOverdue = false;
  #overdue: NodeJS.Timeout | undefined;
  #frames: CameraFrame[] = [];
  #arrived = 0;
  #skipped = 0;
  /** Called once whenever a paused source may resume. */
  onRoom: () => void = () => undefined;
  /** Called on every frame. */
  onFrame: () => void = () => undefined;
  onRefused: (frame: RefusedFrame) => void = () => undefined;

  constructor(
    options: FrameQueueOptions,
    now: (stampMs: number | null) => Captured,
    onSkipped: (frame: CameraFrame) => void = () => undefined,
  ) {
    this.cameraId = options.cameraId;
    this.#options = options;
    this.#now = now;
    this.#onSkipped = onSkipped;
  }

  get arrived(): number {
    return this.#arrived;
  }

  get skipped(): number {
    return this.#skipped;
  }

  get waiting(): number {
    return this.#frames.length;
  }

  /** A frame's first bytes are here, with the camera's own time of it, if it has one. */
  begin(stampMs: number | null): void {
    this.#begun = { captured: this.#now(stampMs), stampMs };
  }

  /** Everything that has been read is parsed: a frame that began and has not ended waits for the rest (Q2). */
  parsed(): void {
    const { wholeMsMax } = this.#options;
    const begun = this.#begun;
    if (begun === undefined || wholeMsMax === undefined || this.#isOverdue || this.#overdue !== undefined) return;
    const inMs = Math.max(0, begun.captured.monotonicMs + wholeMsMax - monotonicMs());
    this.#overdue = setTimeout(() => {
      this.refuse(FRAME_INCOMPLETE);
      this.#isOverdue = true;
    }, inMs);
  }

  /** Q2. The frame that began last, or one that never did, has no picture. */
  refuse(code: string): void {
    const begun = this.#ended();
    if (begun !== null) this.onRefused({ cameraId: this.cameraId, ...begun, code });
  }

  /** When the current frame was captured; null: it was refused already. */
  #ended(): Begun | null {
    const begun = this.#isOverdue ? null : (this.#begun ?? { captured: this.#now(null), stampMs: null });
    clearTimeout(this.#overdue);
    this.#overdue = undefined;
    this.#begun = undefined;
    this.#isOverdue = false;
    return begun;
  }

  /** False: pause until `onRoom`. */
  offer(jpeg: Buffer): boolean {
    const begun = this.#ended();
    if (begun === null) return this.hasRoom;
    this.#arrived += 1;
    this.#frames.push({ cameraId: this.#options.cameraId, jpeg, ...begun });
    if (this.#options.whenFull === "skip") {
      while (this.#frames.length > this.#options.framesMax) {
        const oldest = this.#frames.shift() as CameraFrame;
        this.#skipped += 1;
        this.#onSkipped(oldest);
      }
    }
    this.onFrame();
    return this.hasRoom;
  }

  get hasRoom(): boolean {
    return this.#options.whenFull === "skip" || this.#frames.length < this.#options.framesMax;
  }

  take(): CameraFrame | undefined {
    const hadRoom = this.hasRoom;
    const frame = this.#frames.shift();
    if (!hadRoom && this.hasRoom) this.onRoom();
    return frame;
  }
}

/** Takes from several queues in turn. */
export class FrameQueues {
  readonly #queues: readonly FrameQueue[];
  #turn = 0;
  #wake: (() => void) | undefined;

  constructor(queues: readonly FrameQueue[]) {
    this.#queues = queues;
    for (const queue of queues) queue.onFrame = () => this.#wake?.();
  }

  /** Undefined once the signal aborted and nothing waits. */
  async next(signal: AbortSignal): Promise<CameraFrame | undefined> {
    for (;;) {
      for (let i = 0; i < this.#queues.length; i++) {
        const queue = this.#queues[(this.#turn + i) % this.#queues.length];
        const frame = queue?.take();
        if (frame === undefined) continue;
        this.#turn = (this.#turn + i + 1) % this.#queues.length;
        return frame;
      }
      if (signal.aborted) return undefined;
      await new Promise<void>((resolve) => {
        const wake = () => {
          signal.removeEventListener("abort", wake);
          this.#wake = undefined;
          resolve();
        };
        this.#wake = wake;
        signal.addEventListener("abort", wake, { once: true });
      });
    }
  }
}
