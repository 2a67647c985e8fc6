/**
 * Trains in a process of its own: what it loads, decodes and computes can neither slow down nor end its starter.
 *
 * T1. It has an end: after the time it may take, above the memory it may hold, or when the signal aborts, it is killed (G9). The promise
 *     settles once the process is gone.
 * T2. It dies with the process that called this, even inside a run of ONNX Runtime. The next call with the same job and `outDir` resumes
 *     it (training/steps.ts S1). */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { exitFlags, Failure, reasonOf, timerMs } from "@tributary/kernel";
import { diesWithHost, residentBytesOf } from "@tributary/kernel/processes";
import type { TrainingResult } from "@tributary/training";
import type { ChildMessage, ChildTask, LocalTraining, LocalTrainingProgress } from "./local-training.ts";
import { failure } from "./training/failures.ts";

export type TrainLocallyOptions = {
  readonly signal?: AbortSignal;
  onProgress?(progress: LocalTrainingProgress): void;
  /** As `ChildTask` has it. */
  readonly processesDir?: string;
};

// From source as from the build, the child is the built script: plain JavaScript, outside any test's realm.
const CHILD = fileURLToPath(new URL("../dist/child.js", import.meta.url));
const STDERR_TAIL_LENGTH = 2_000;
const MEMORY_EVERY_MS = 250;

/** Rejects with a Failure of `LocalTrainingCode`, or of the package or its graph. */
export async function trainLocally(
  training: LocalTraining,
  options: TrainLocallyOptions = {},
): Promise<TrainingResult> {
  const { limits, outDir } = training;
  const { signal, onProgress, processesDir = null } = options;
  const child = startChild(outDir, limits.threads);
  return new Promise((resolve, reject) => {
    let tail = "";
    let outcome: Exclude<ChildMessage, { kind: "progress" }> | Failure | undefined;
    const end = (reason: Failure) => {
      outcome ??= reason;
      child.kill("SIGKILL");
    };
    const late = setTimeout(() => end(tooLate(limits.msMax)), timerMs(limits.msMax));
    const memory = setInterval(() => {
      const bytes = residentBytesOf(child.pid ?? -1);
      if (bytes > limits.memoryBytesMax) end(tooLarge(bytes, limits.memoryBytesMax));
    }, MEMORY_EVERY_MS);
    const onAbort = () => end(failure("training-stopped", "give-up", "the training was stopped"));
    signal?.addEventListener("abort", onAbort, { once: true });
    child.stderr?.on("data", (chunk: Buffer) => {
      tail = (tail + chunk.toString()).slice(-STDERR_TAIL_LENGTH);
    });
    child.on("message", (message: ChildMessage) => {
      if (message.kind === "progress") onProgress?.(message.progress);
      else outcome ??= message;
    });
    child.once("error", (error) =>
      end(failure("training-died", "retry", `the process could not be started: ${error.message}`)),
    );
    child.once("close", (code, killedBy) => {
      clearTimeout(late);
      clearInterval(memory);
      signal?.removeEventListener("abort", onAbort);
      if (outcome instanceof Failure) return reject(outcome);
      if (outcome?.kind === "done") return resolve(outcome.result);
      if (outcome !== undefined) return reject(new Failure(outcome.code, outcome.advice, outcome.message));
      const lastWords = tail.trim() === "" ? "" : `; its last words: ${tail.trim()}`;
      reject(
        failure("training-died", "retry", `the process of the training ended with ${killedBy ?? code}${lastWords}`),
      );
    });
    if (signal?.aborted) onAbort();
    else child.send({ training, processesDir } satisfies ChildTask, (error) => error && child.kill("SIGKILL"));
  });
}

function startChild(outDir: string, threads: number): ChildProcess {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const [program = "", ...args] = [...diesWithHost(), process.execPath, ...exitFlags, CHILD];
  try {
    return spawn(program, args, {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      env: { ...env, ORT_DISABLE_TELEMETRY: "1", MALLOC_ARENA_MAX: String(threads) },
    });
  } catch (error) {
    throw failure("training-died", "retry", `the process for ${outDir} could not be started: ${reasonOf(error)}`);
  }
}

const tooLate = (msMax: number) =>
  failure(
    "training-time-exceeded",
    "ask-a-person",
    `no result within ${msMax} ms; allow more, or train on fewer frames or epochs`,
  );

const mib = (bytes: number): number => Math.floor(bytes / 2 ** 20);

const tooLarge = (bytes: number, bytesMax: number) => {
  const what = `the training held ${mib(bytes)} MiB of memory, and may hold ${mib(bytesMax)} MiB`;
  return failure("training-memory-exceeded", "ask-a-person", `${what}; allow more, or make recipe.batch smaller`);
};
