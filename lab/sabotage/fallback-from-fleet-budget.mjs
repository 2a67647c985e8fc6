/**
 * Breaks admission.ts F5: the router takes FALLBACK frames for PRIORITY, which the fleet's budget pays before everything else.
 */
import { replaceExport } from "./replace-export.mjs";

await replaceExport(
  "libs/core/routing/dist/settlement/admission.js",
  "Admission",
  (Admission) =>
    class extends Admission {
      decide(frame, now) {
        return super.decide({ ...frame, reason: frame.reason === "FALLBACK" ? "PRIORITY" : frame.reason }, now);
      }
    },
);
