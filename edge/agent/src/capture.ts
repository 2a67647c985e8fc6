/** Cameras, their queues of frames, and the loops that take frames out for the model: one for all cameras, and one for each that has a
 * deadline. */
import type { Clock } from "@tributary/kernel";
import type { CameraContext, makeCamera } from "./cameras/camera.ts";
import { type CameraFrame, FrameQueue, FrameQueues, type RefusedFrame } from "./cameras/frame-queue.ts";
import type { AgentConfig } from "./config.ts";
import type { Captured } from "./outbox/age.ts";

export type CapturePorts = Pick<CameraContext, "events" | "bootId"> & {
  readonly makeCamera: typeof makeCamera;
  /** Dates a frame that begins now; `stampMs` is the camera's own time of it, if it has one. */
  readonly captured: (cameraId: string, stampMs: number | null) => Captured;
  /** A frame of a camera with a deadline has its answer so long after its capture. */
  readonly answerMsOf: (cameraId: string) => number | undefined;
  readonly onSkipped: (frame: CameraFrame) => void;
  readonly onRefusedFrame: (frame: RefusedFrame) => void;
  /** Resolves when its answer is published. Frames of a camera with a deadline do not wait for another camera's. */
  readonly process: (frame: CameraFrame, hasDeadline: boolean) => Promise<unknown>;
};

/** Frames in the queues when the cameras have stopped are still answered. */
const LAST_FRAMES_MS = 5_000;
const newestOnly = { framesMax: 1, whenFull: "skip" } as const;

/** Cameras whose frames are answered one after another. */
type Lane = { readonly queues: readonly FrameQueue[]; readonly hasDeadline: boolean };

export class Capture {
  readonly queues: readonly FrameQueue[];
  readonly cameras: readonly ReturnType<typeof makeCamera>[];
  readonly #process: CapturePorts["process"];
  readonly #clock: Clock;
  readonly #noMore = new AbortController();
  readonly #lanes: readonly Lane[];
  #working: Promise<unknown> = Promise.resolve();

  constructor({ cameras, limits }: Pick<AgentConfig, "cameras" | "limits">, ports: CapturePorts, clock: Clock) {
    const { events, bootId, captured, answerMsOf, onSkipped } = ports;
    this.#process = ports.process;
    this.#clock = clock;
    this.queues = cameras.map(({ id, queueFramesMax, whenFull, deadlineMs }) => {
      // Of a camera with a deadline only the present counts.
      const limits = deadlineMs === undefined ? { framesMax: queueFramesMax, whenFull } : newestOnly;
      const options = { cameraId: id, ...limits, wholeMsMax: answerMsOf(id) };
      const queue = new FrameQueue(options, (stampMs) => captured(id, stampMs), onSkipped);
      if (deadlineMs !== undefined) queue.onRefused = ports.onRefusedFrame;
      return queue;
    });
    const withDeadline = new Set(cameras.flatMap(({ id, deadlineMs }) => (deadlineMs === undefined ? [] : [id])));
    const [own, shared] = [true, false].map((is) =>
      this.queues.filter(({ cameraId }) => withDeadline.has(cameraId) === is),
    );
    this.#lanes = [
      ...(own ?? []).map((queue): Lane => ({ queues: [queue], hasDeadline: true })),
      { queues: shared ?? [], hasDeadline: false },
    ];
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
    this.#working = Promise.all(this.#lanes.map((lane) => this.#work(lane)));
    for (const camera of this.cameras) camera.start();
  }

  /** Takes no new frame, and finishes the current ones. */
  async stop(): Promise<void> {
    await Promise.all(this.cameras.map((camera) => camera.stop()));
    this.#noMore.abort(new Error("stopping"));
    await Promise.race([this.#working, this.#clock.sleep(LAST_FRAMES_MS)]);
  }

  async #work({ queues, hasDeadline }: Lane): Promise<void> {
    const frames = new FrameQueues(queues);
    const { signal } = this.#noMore;
    for (let frame = await frames.next(signal); frame !== undefined; frame = await frames.next(signal)) {
      try {
        await this.#process(frame, hasDeadline);
      } catch (error) {
        if (signal.aborted) return; // The model was closed meanwhile.
        throw error;
      }
    }
  }
}
