/**
 * Frames between a camera and the model.
 *
 * Q1. At most `framesMax` wait. With `skip` the oldest is dropped and counted, before it has a number, so that
 *     every numbered frame gets an answer (G2, G9). With `wait` the source is paused, and bytes that were already read
 *     (less than one read of its pipe) are kept.
 */
import type { Captured } from "../outbox/age.ts";

export type CameraFrame = { readonly cameraId: string; readonly jpeg: Buffer; readonly captured: Captured };

export type FrameQueueOptions = {
  readonly cameraId: string;
  readonly framesMax: number;
  readonly whenFull: "skip" | "wait";
};

export class FrameQueue {
  readonly cameraId: string;
  readonly #options: FrameQueueOptions;
  readonly #now: () => Captured;
  readonly #onSkipped: () => void;
  #frames: CameraFrame[] = [];
  #arrived = 0;
  #skipped = 0;
  /** Called once whenever a paused source may resume. */
  onRoom: () => void = () => undefined;
  /** Called on every frame. */
  onFrame: () => void = () => undefined;

  constructor(options: FrameQueueOptions, now: () => Captured, onSkipped: () => void = () => undefined) {
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

  /** False: pause until `onRoom`. */
  offer(jpeg: Buffer): boolean {
    this.#arrived += 1;
    this.#frames.push({ cameraId: this.#options.cameraId, jpeg, captured: this.#now() });
    if (this.#options.whenFull === "skip") {
      while (this.#frames.length > this.#options.framesMax) {
        this.#frames.shift();
        this.#skipped += 1;
        this.#onSkipped();
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
