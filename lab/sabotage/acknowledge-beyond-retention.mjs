/**
 * Breaks ingest.ts I5 (retention-guard.ts): the bridge acknowledges every record that Kafka has, however many wait for a router. Kafka
 * deletes the oldest of them by its retention, and their devices have them no more.
 */
import { replaceExport } from "./replace-export.mjs";

await replaceExport(
  "edge/bridge/dist/retention/retention-guard.js",
  "RetentionGuard",
  (RetentionGuard) =>
    class extends RetentionGuard {
      admits() {
        return true;
      }

      /** What was not admitted is not in flight. */
      settled() {}
    },
);
