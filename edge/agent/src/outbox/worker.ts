/** The outbox's thread: runs the engine on a timer, so that no frame ever waits for the disk (G4). */
import { readlinkSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import { Failure, reasonOf } from "@tributary/kernel";
import { moveThisThread, raiseHelpers } from "@tributary/onnx";
import { type ClockMode, deviceTime } from "../device-time.ts";
import { troubleOf } from "./disk.ts";
import type { OutboxEngine } from "./engine.ts";
import { openOutbox } from "./open.ts";
import type { FromOutbox, OpenOptions, ToOutbox } from "./rows.ts";
import { runEngine } from "./run-engine.ts";

export type OutboxWorkerData = OpenOptions & {
  readonly clock: ClockMode;
  readonly backgroundCore?: string;
  /** The agent's thread is in Linux's real-time class. */
  readonly isRealTime?: boolean;
};

const port = parentPort;
if (port === null) throw new Failure("outbox-not-a-worker", "give-up", "outbox/worker is started as a worker thread");

yieldToAnswers();
const { clock, backgroundCore, isRealTime, ...options } = workerData as OutboxWorkerData;
if (backgroundCore !== undefined) moveThisThread(backgroundCore);
if (isRealTime === true) raiseHelpers();
const post = (message: FromOutbox) => {
  // Transferred, not copied: the bytes are this thread's alone.
  const transfer = message.kind === "send" ? [message.payload.buffer as ArrayBuffer] : [];
  port.postMessage(message, transfer);
};

let engine: OutboxEngine;
try {
  engine = openOutbox(
    options,
    deviceTime(clock),
    () => new Date(),
    (message) => post(owned(message)),
  );
} catch (error) {
  post({ kind: "failed", message: reasonOf(error), trouble: troubleOf(error), fatal: true });
  throw error;
}

const receive = runEngine(engine, options.limits.commitMs);
port.on("message", (message: ToOutbox) => {
  receive(message);
  if (message.kind === "close") port.close();
});

/** Lowers this thread's priority (Linux has one per thread): on two cores a commit would otherwise delay an answer. */
function yieldToAnswers(): void {
  try {
    const thread = Number(readlinkSync("/proc/thread-self").split("/").at(-1));
    setPriority(thread, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // Elsewhere the priorities are the process's.
  }
}

/** Small buffers share a pool; a transferred buffer must not. */
function owned(message: FromOutbox): FromOutbox {
  if (message.kind !== "send" || message.payload.byteLength === message.payload.buffer.byteLength) return message;
  return { ...message, payload: new Uint8Array(message.payload) };
}
