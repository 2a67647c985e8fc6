/**
 * Breaks admission.ts F5 and G13 (shares.ts): the router takes frames without an answer for PRIORITY of a device that is within its
 * share, which the fleet's budget pays before everything else.
 */
import { replaceExport } from "./replace-export.mjs";

const WITHIN = { isOver: false, priceMin: 0, countsForPrice: true };

await replaceExport(
  "libs/core/routing/dist/settlement/arm-admission.js",
  "ArmAdmission",
  (ArmAdmission) =>
    class extends ArmAdmission {
      decide(frame, now, frameTimeMs) {
        return super.decide(frame.hasAnswer ? frame : { ...frame, standing: WITHIN }, now, frameTimeMs);
      }
    },
);
await replaceExport(
  "libs/core/routing/dist/settlement/admission.js",
  "Admission",
  (Admission) =>
    class extends Admission {
      decide(frame, now) {
        const isPriority = frame.reason === "FALLBACK" && !frame.hasAnswer;
        return super.decide(isPriority ? { ...frame, reason: "PRIORITY" } : frame, now);
      }
    },
);
