/**
 * Runs a task in a process of its own: what it loads, decodes and measures can neither slow down nor end its starter.
 *
 * What it finds wrong is returned as the Failure it was; a process that dies otherwise is `task-died`, to be tried again.
 *
 * T1. It has an end: after `msMax`, or when the signal aborts, it is killed, and its models go with it (G9). */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { exitFlags, Failure } from "@tributary/kernel";
import type { Task, TaskMessage, TaskResults } from "./task.ts";

export type RunTaskOptions = {
  readonly msMax: number;
  readonly signal?: AbortSignal;
  readonly progress?: (line: string) => void;
};

// From source as from the build, the child is the built script: plain JavaScript, outside any test's realm.
const CHILD = fileURLToPath(new URL("../../dist/tasks/task-child.js", import.meta.url));
const STDERR_TAIL_LENGTH = 2_000;

export function runTask<T extends Task>(task: T, options: RunTaskOptions): Promise<TaskResults[T["kind"]]> {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = fork(CHILD, [], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    execArgv: [...exitFlags],
    env,
  });
  return new Promise((resolve, reject) => {
    let tail = "";
    let outcome: TaskMessage | undefined;
    const timer = setTimeout(() => end(`no result within ${options.msMax} ms`), options.msMax);
    const onAbort = () => end("it was stopped");
    const end = (why: string) => {
      outcome ??= { kind: "failed", code: "task-died", advice: "retry", message: `the ${task.kind} was ended: ${why}` };
      child.kill("SIGKILL");
    };
    options.signal?.addEventListener("abort", onAbort, { once: true });
    child.stderr?.on("data", (chunk: Buffer) => {
      tail = (tail + chunk.toString()).slice(-STDERR_TAIL_LENGTH);
    });
    child.on("message", (message: TaskMessage) => {
      if (message.kind === "progress") options.progress?.(message.line);
      else outcome ??= message;
    });
    child.once("error", (error) => end(error.message));
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
      if (outcome?.kind === "done") return resolve(outcome.result as TaskResults[T["kind"]]);
      const lastWords = tail.trim() === "" ? "" : `; its last words: ${tail.trim()}`;
      const died = `the process of the ${task.kind} ended with ${signal ?? code}${lastWords}`;
      if (outcome === undefined) return reject(new Failure("task-died", "retry", died));
      if (outcome.kind === "failed") reject(new Failure(outcome.code, outcome.advice, outcome.message));
    });
    if (options.signal?.aborted) onAbort();
    else child.send(task);
  });
}
