/**
 * Breaks W5 (driver.ts): time starts when a frame is read, whatever waited before, a frame that has no picture is none, nor is one that a newer one replaced,
 * and the driver does not see that it was late itself.
 */
import { replaceExport } from "./replace-export.mjs";

// First: the driver imports it.
await replaceExport(
  "edge/agent/dist/driving/heartbeat.js",
  "Heartbeat",
  (Heartbeat) =>
    class extends Heartbeat {
      start() {}

      hasStalledSince() {
        return false;
      }
    },
);
await replaceExport(
  "edge/agent/dist/driving/driver.js",
  "Driver",
  (Driver) =>
    class extends Driver {
      capturedAt() {
        return Number(process.hrtime.bigint() / 1_000n) / 1_000;
      }

      refused() {
        return null;
      }

      skipped() {}
    },
);
