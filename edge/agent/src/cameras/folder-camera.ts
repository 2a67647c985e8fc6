/** A camera that plays a folder of JPEGs in the order of their names. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, reasonOf, systemClock } from "@tributary/kernel";
import type { CameraConfig } from "../config.ts";
import { jpegsIn } from "../photo-folder.ts";
import type { Camera, CameraContext, CameraState } from "./camera.ts";

const RETRY_MS = 5_000;

export class FolderCamera implements Camera {
  readonly id: string;
  readonly kind = "folder";
  readonly #config: Extract<CameraConfig, { kind: "folder" }>;
  readonly #context: CameraContext;
  readonly #clock: Clock;
  readonly #stopping = new AbortController();
  #state: CameraState = "starting";
  #running: Promise<void> | undefined;
  /** When the next photo is shown; the first of a loop waits for it as well. */
  #dueMs: number;

  constructor(config: Extract<CameraConfig, { kind: "folder" }>, context: CameraContext, clock: Clock = systemClock) {
    this.id = config.id;
    this.#config = config;
    this.#context = context;
    this.#clock = clock;
    this.#dueMs = clock.monotonicMs();
  }

  get state(): CameraState {
    return this.#state;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("stopped"));
    this.#context.queue.onRoom();
    await this.#running;
    this.#state = "stopped";
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const { events } = this.#context;
    while (!signal.aborted) {
      try {
        this.#state = "running";
        events.onStarted(this.id);
        const played = await this.#playOnce(signal);
        if (signal.aborted) return;
        if (played === 0) throw new Error("it holds no .jpg or .jpeg file");
        if (this.#config.loop) continue;
        this.#state = "ended";
        events.onEnded({ cameraId: this.id, how: `played ${played} frames`, failed: false, retryMs: null });
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#state = "waiting-to-restart";
        const how = `${this.#config.folder}: ${reasonOf(error)}`;
        events.onEnded({ cameraId: this.id, how, failed: true, retryMs: RETRY_MS });
        await this.#clock.sleep(RETRY_MS, signal).catch(() => undefined);
      }
    }
  }

  async #playOnce(signal: AbortSignal): Promise<number> {
    const { queue, events, frameBytesMax } = this.#context;
    const names = jpegsIn(this.#config.folder);
    const periodMs = 1_000 / this.#config.fps;
    for (const name of names) {
      await this.#clock.sleep(Math.max(0, this.#dueMs - this.#clock.monotonicMs()), signal);
      const path = join(this.#config.folder, name);
      if ((await stat(path)).size > frameBytesMax) {
        events.onRefused({ cameraId: this.id, code: "camera-frame-oversized", count: 1 });
        queue.refuse("camera-frame-oversized");
      } else if (!queue.offer(await readFile(path))) {
        await this.#room();
      }
      this.#dueMs = Math.max(this.#dueMs + periodMs, this.#clock.monotonicMs());
    }
    return names.length;
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#context.queue.onRoom = resolve;
    });
  }
}
