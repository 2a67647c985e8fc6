/** Cameras, their queues of frames, and the loop that takes frames out for the model, one at a time. */
import type { Clock } from "@tributary/kernel";
import type { CameraContext, makeCamera } from "./cameras/camera.ts";
import { type CameraFrame, FrameQueue, FrameQueues } from "./cameras/frame-queue.ts";
import type { AgentConfig } from "./config.ts";
import type { Captured } from "./outbox/age.ts";

export type CapturePorts = Pick<CameraContext, "events" | "bootId"> & {
  readonly makeCamera: typeof makeCamera;
  readonly now: () => Captured;
  readonly onSkipped: (cameraId: string) => void;
  /** Resolves when its answer is published. */
  readonly process: (frame: CameraFrame) => Promise<unknown>;
};

/** Frames in the queues when the cameras have stopped are still answered. */
const LAST_FRAMES_MS = 5_000;

export class Capture {
  readonly queues: readonly FrameQueue[];
  readonly cameras: readonly ReturnType<typeof makeCamera>[];
  readonly #process: CapturePorts["process"];
  readonly #clock: Clock;
  readonly #noMore = new AbortController();
  #working: Promise<void> = Promise.resolve();

  constructor({ cameras, limits }: Pick<AgentConfig, "cameras" | "limits">, ports: CapturePorts, clock: Clock) {
    const { events, bootId, now, onSkipped } = ports;
    this.#process = ports.process;
    this.#clock = clock;
    this.queues = cameras.map(
      ({ id, queueFramesMax, whenFull }) =>
        new FrameQueue({ cameraId: id, framesMax: queueFramesMax, whenFull }, now, () => onSkipped(id)),
    );
    this.cameras = cameras.map((camera, i) =>
      ports.makeCamera(camera, {
        queue: this.queues[i] as FrameQueue,
        frameBytesMax: limits.cameraFrameBytesMax,
        events,
        bootId,
      }),
    );
  }

  /** Frames that a newer one replaced. */
  get skipped(): number {
    return this.queues.reduce((sum, queue) => sum + queue.skipped, 0);
  }

  /** A frame waits. */
  get isBusy(): boolean {
    return this.queues.some(({ waiting }) => waiting > 0);
  }

  start(): void {
    this.#working = this.#work();
    for (const camera of this.cameras) camera.start();
  }

  /** Takes no new frame, and finishes the current ones. */
  async stop(): Promise<void> {
    await Promise.all(this.cameras.map((camera) => camera.stop()));
    this.#noMore.abort(new Error("stopping"));
    await Promise.race([this.#working, this.#clock.sleep(LAST_FRAMES_MS)]);
  }

  async #work(): Promise<void> {
    const frames = new FrameQueues(this.queues);
    const { signal } = this.#noMore;
    for (let frame = await frames.next(signal); frame !== undefined; frame = await frames.next(signal)) {
      try {
        await this.#process(frame);
      } catch (error) {
        if (signal.aborted) return; // The model was closed meanwhile.
        throw error;
      }
    }
  }
}
