/**
 * Breaks G1 (ingest.ts I1): the bridge acknowledges a message as soon as it has received it, before Kafka has its record. The
 * device deletes records that are not stored, and if the bridge is killed then, they are lost.
 */
import { replaceExport } from "./replace-export.mjs";

await replaceExport(
  "edge/bridge/dist/ingest.js",
  "Ingest",
  (Ingest) =>
    class extends Ingest {
      take(sender, uplink, acknowledge, release) {
        const early = {
          deviceId: sender.deviceId,
          isShared: sender.isShared,
          get isClosed() {
            return sender.isClosed;
          },
          begin(settle) {
            sender.begin(settle)();
            return () => {};
          },
          close: () => sender.close(),
        };
        super.take(early, uplink, acknowledge, release);
      }
    },
);
