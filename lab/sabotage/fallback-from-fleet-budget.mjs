/**
 * Breaks admission.ts F5: the router takes degraded devices for such without an answer of their own, whose FALLBACK frames the fleet's
 * budget pays, before everything else.
 */
import { replaceExport } from "./replace-export.mjs";

await replaceExport(
  "libs/core/routing/dist/settlement/admission.js",
  "Admission",
  (Admission) =>
    class extends Admission {
      decide(frame, now) {
        return super.decide({ ...frame, hasAnswer: false }, now);
      }
    },
);
