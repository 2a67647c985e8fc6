/** A camera that takes photos at a constant rate. */
import type { Camera, CameraContext } from "@tributary/agent/compose";
import type { Random } from "@tributary/kernel";

export class PhotoCamera implements Camera {
  readonly id: string;
  readonly kind = "folder";
  readonly #context: CameraContext;
  readonly #take: () => Promise<Buffer>;
  readonly #everyMs: number;
  readonly #random: Random;
  #timer: NodeJS.Timeout | undefined;
  #taking: Promise<void> | undefined;
  state: Camera["state"] = "starting";

  constructor(id: string, context: CameraContext, take: () => Promise<Buffer>, fps: number, random: Random) {
    this.id = id;
    this.#context = context;
    this.#take = take;
    this.#everyMs = 1_000 / fps;
    this.#random = random;
  }

  start(): void {
    this.state = "running";
    this.#context.events.onStarted(this.id);
    // Devices are not in step.
    this.#timer = setTimeout(() => {
      this.#timer = setInterval(() => this.#show(), this.#everyMs);
    }, this.#random() * this.#everyMs);
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.state = "stopped";
    await this.#taking;
  }

  #show(): void {
    this.#taking ??= this.#take()
      .then(
        (jpeg) => void this.#context.queue.offer(jpeg),
        () => this.#context.events.onRefused({ cameraId: this.id, code: "photo-unreadable", count: 1 }),
      )
      .finally(() => {
        this.#taking = undefined;
      });
  }
}
