/**
 * Breaks what ADR 78 added to G13 in the bridge (cost.ts, device-windows.ts): a message costs its device one record and its own bytes,
 * however many predictions are in it and however long it is parsed, and all that the bridge has of a device is in the producer's queue.
 */
import { replaceExport } from "./replace-export.mjs";

await replaceExport("edge/bridge/dist/cost.js", "costOf", () => ({ payload }) => ({
  records: 1,
  kafkaBytes: payload.length,
  parsingMs: 0,
}));
await replaceExport(
  "edge/bridge/dist/device-windows.js",
  "DeviceWindows",
  (DeviceWindows) =>
    class extends DeviceWindows {
      constructor() {
        super(Number.POSITIVE_INFINITY);
      }
    },
);
