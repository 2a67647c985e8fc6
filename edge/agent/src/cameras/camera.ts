/** A source of frames, and the ways to make one. */
import { fileURLToPath } from "node:url";
import type { CameraConfig } from "../config.ts";
import { CommandCamera } from "./command-camera.ts";
import { FolderCamera } from "./folder-camera.ts";
import type { FrameQueue } from "./frame-queue.ts";

export type CameraState = "starting" | "running" | "waiting-to-restart" | "ended" | "stopped";

export type CameraEvents = {
  readonly onStarted: (cameraId: string) => void;
  /** `retryMs` null: it will not be started again. */
  readonly onEnded: (ended: {
    readonly cameraId: string;
    readonly how: string;
    readonly failed: boolean;
    readonly retryMs: number | null;
  }) => void;
  /** Counts of bytes that are not part of a frame, since the last call. */
  readonly onRefused: (refused: { readonly cameraId: string; readonly code: string; readonly count: number }) => void;
};

export interface Camera {
  readonly id: string;
  readonly kind: CameraConfig["kind"];
  readonly state: CameraState;
  start(): void;
  /** No frame is offered afterwards, and every process has ended. */
  stop(): Promise<void>;
}

export type CameraContext = {
  readonly queue: FrameQueue;
  readonly events: CameraEvents;
  readonly frameBytesMax: number;
  /** Identity of this boot, so that a sample camera's ledger names whose frames it lists. */
  readonly bootId: () => string;
};

export function makeCamera(config: CameraConfig, context: CameraContext): Camera {
  switch (config.kind) {
    case "folder":
      return new FolderCamera(config, context);
    case "command":
      return new CommandCamera({ ...config, command: () => config.command }, context);
    case "sheet":
      return new CommandCamera(
        { id: config.id, kind: "sheet", command: () => sheetCommand(config, context.bootId()), restart: "on-failure" },
        context,
      );
    default:
      return config satisfies never;
  }
}

function sheetCommand(config: Extract<CameraConfig, { kind: "sheet" }>, bootId: string): readonly string[] {
  const isSource = import.meta.url.endsWith(".ts");
  const script = new URL(isSource ? "../sample-camera.ts" : "../sample-camera.js", import.meta.url);
  return [
    process.execPath,
    ...(isSource ? ["--conditions=@tributary/source"] : []),
    ...["--max-semi-space-size=1", fileURLToPath(script)],
    ...["--sheets", config.sheets, "--fps", String(config.fps)],
    ...["--start", String(config.start), "--stride", String(config.stride), "--boot", bootId],
    ...(config.frames === undefined ? [] : ["--frames", String(config.frames)]),
    ...(config.ledger === undefined ? [] : ["--ledger", config.ledger]),
    ...(config.resume ? ["--resume"] : []),
    ...(config.deadlineMs === undefined ? [] : ["--stamps"]),
  ];
}
