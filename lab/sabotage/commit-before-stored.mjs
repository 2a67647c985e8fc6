/**
 * Breaks W1 (partition-worker.ts of drift-monitor): a batch of sketches counts as processed, and is committed, before the states
 * that include it are stored. If the process is killed in between, its windows are lost.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { replaceExport } from "./replace-export.mjs";

const STORED_AFTER_MS = 300;

await replaceExport(
  "services/drift-monitor/dist/partition-worker.js",
  "PartitionWorker",
  (PartitionWorker) =>
    class extends PartitionWorker {
      #stored = Promise.resolve();

      async sketches(records) {
        this.#stored = this.#stored.then(async () => {
          await sleep(STORED_AFTER_MS);
          await super.sketches(records).catch(() => {});
        });
      }
    },
);
