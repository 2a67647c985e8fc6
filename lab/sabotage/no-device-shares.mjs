/**
 * Breaks G13 (shares.ts of routing): every device is within its share of the fleet's budget, whatever it asks for, and each draw that
 * it claims is one.
 */
import { replaceExport } from "./replace-export.mjs";

const WITHIN = { isOver: false, priceMin: 0, countsForPrice: true };

await replaceExport(
  "libs/core/routing/dist/settlement/shares.js",
  "DeviceShares",
  (DeviceShares) =>
    class extends DeviceShares {
      standing() {
        return WITHIN;
      }

      draw() {
        return "free";
      }
    },
);
