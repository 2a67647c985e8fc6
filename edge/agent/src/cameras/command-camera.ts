/**
 * A camera that is a program writing JPEGs to its standard output: rpicam-vid, ffmpeg, anything.
 *
 * It runs in a process group of its own, so that stopping it stops its children. Its standard input stays open as long as
 * the agent lives and its output breaks when the agent dies: a program that reads the one or writes the other ends with the
 * agent, however the agent ends. It is started again after a jittered, bounded backoff, reset by a run that lasted. */
import { type ChildProcess, spawn } from "node:child_process";
import { backoffMs, systemClock } from "@tributary/kernel";
import type { Camera, CameraContext, CameraState } from "./camera.ts";
import { JpegSplitter, type SplitterCounts } from "./jpeg-splitter.ts";
import { stampIn } from "./stamp.ts";

export type CommandCameraOptions = {
  readonly id: string;
  readonly kind: "command" | "sheet";
  /** Program and arguments of its next run. */
  readonly command: () => readonly string[];
  readonly restart: "always" | "on-failure" | "never";
};

const BACKOFF = { minMs: 500, maxMs: 30_000 };
const STEADY_MS = 10_000;
const STOP_MS = 1_000;
const LAST_WORDS_LENGTH = 400;

export class CommandCamera implements Camera {
  readonly id: string;
  readonly kind: "command" | "sheet";
  readonly #options: CommandCameraOptions;
  readonly #context: CameraContext;
  readonly #stopping = new AbortController();
  #state: CameraState = "starting";
  #running: Promise<void> | undefined;

  constructor(options: CommandCameraOptions, context: CameraContext) {
    this.id = options.id;
    this.kind = options.kind;
    this.#options = options;
    this.#context = context;
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
    for (let attempt = 0; !signal.aborted; ) {
      const startedMs = systemClock.monotonicMs();
      const end = await this.#runOnce(signal);
      if (signal.aborted) return;
      if (systemClock.monotonicMs() - startedMs >= STEADY_MS) attempt = 0;
      const { restart } = this.#options;
      const isOver = restart === "never" || (restart === "on-failure" && !end.failed);
      const retryMs = isOver ? null : backoffMs(BACKOFF, attempt++, Math.random);
      this.#state = isOver ? "ended" : "waiting-to-restart";
      this.#context.events.onEnded({ cameraId: this.id, ...end, retryMs });
      if (retryMs === null) return;
      await systemClock.sleep(retryMs, signal).catch(() => undefined);
    }
  }

  #runOnce(signal: AbortSignal): Promise<{ readonly how: string; readonly failed: boolean }> {
    const [program = "", ...args] = this.#options.command();
    const { queue, events, frameBytesMax } = this.#context;
    return new Promise((resolve) => {
      const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], detached: true });
      let hasRoom = true;
      let lastWords = "";
      let reported: SplitterCounts = { skippedBytes: 0, brokenFrames: 0, oversizedFrames: 0 };
      const offer = (jpeg: Buffer) => {
        if (!signal.aborted) hasRoom = queue.offer(jpeg) && hasRoom;
      };
      const splitter = new JpegSplitter(frameBytesMax, offer, {
        onBegin: (before) => {
          const stampMs = stampIn(before);
          queue.begin(stampMs);
          return stampMs !== null;
        },
        onDropped: (code) => {
          if (!signal.aborted) queue.refuse(code);
        },
      });
      const report = () => {
        const now = splitter.counts;
        const refuse = (code: string, count: number) => {
          if (count > 0) events.onRefused({ cameraId: this.id, code, count });
        };
        refuse("camera-garbage", now.skippedBytes - reported.skippedBytes);
        refuse("camera-frame-broken", now.brokenFrames - reported.brokenFrames);
        refuse("camera-frame-oversized", now.oversizedFrames - reported.oversizedFrames);
        reported = now;
      };
      child.once("spawn", () => {
        this.#state = "running";
        events.onStarted(this.id);
      });
      child.stdin.on("error", () => undefined);
      child.stdout.on("error", () => undefined);
      queue.onRoom = () => {
        hasRoom = true;
        child.stdout.resume();
      };
      child.stdout.on("data", (chunk: Buffer) => {
        splitter.push(chunk);
        queue.parsed();
        report();
        if (!hasRoom) child.stdout.pause();
      });
      child.stderr.on("data", (chunk: Buffer) => {
        lastWords = (lastWords + chunk.toString()).slice(-LAST_WORDS_LENGTH);
      });
      const stop = () => stopGroup(child);
      signal.addEventListener("abort", stop, { once: true });
      const over = (how: string, failed: boolean) => {
        signal.removeEventListener("abort", stop);
        splitter.end();
        report();
        killGroup(child, "SIGKILL"); // Its children end with it.
        const words = failed && lastWords.trim() !== "" ? `; its last words: ${lastWords.trim()}` : "";
        resolve({ how: how + words, failed });
      };
      child.once("error", (error) => over(`could not be run: ${error.message}`, true));
      child.once("close", (code, killedBy) =>
        over(killedBy === null ? `ended with ${code}` : `was ended by ${killedBy}`, code !== 0),
      );
    });
  }
}

function stopGroup(child: ChildProcess): void {
  child.stdout?.resume();
  child.stdin?.end();
  killGroup(child, "SIGTERM");
  setTimeout(() => killGroup(child, "SIGKILL"), STOP_MS).unref();
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The group is gone already.
  }
}
