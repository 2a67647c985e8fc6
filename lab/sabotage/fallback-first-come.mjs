/** Breaks admission.ts F5: the router pays FALLBACK frames from their budget in the order in which they come, whichever device asks. */
import { replaceExport } from "./replace-export.mjs";

await replaceExport(
  "libs/core/routing/dist/settlement/fallback-budget.js",
  "FallbackBudget",
  (FallbackBudget) =>
    class extends FallbackBudget {
      tokensOf(_deviceId, now) {
        return super.tokensOf("all", now);
      }

      take() {
        super.take("all");
      }
    },
);
