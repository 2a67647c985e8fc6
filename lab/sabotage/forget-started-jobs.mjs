/**
 * Breaks P1 (backend.ts of the trainer): the local backend starts another job whenever it is asked to start one, instead of returning the
 * one that it has. If the trainer is killed before it wrote down what it started, two trainings are made. It dies as die-in-training.mjs says.
 */
import { randomUUID } from "node:crypto";
import { replaceExport } from "./replace-export.mjs";

await replaceExport(
  "services/trainer/dist/backends/local.js",
  "LocalBackend",
  (LocalBackend) =>
    class extends LocalBackend {
      start(job, attempt, places, signal) {
        return super.start({ ...job, runId: `${job.runId}-${randomUUID().slice(0, 8)}` }, attempt, places, signal);
      }
    },
);
// Afterwards: it loads what imports the backend.
await import("./die-in-training.mjs");
