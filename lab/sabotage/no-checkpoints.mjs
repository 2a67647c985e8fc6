/** Breaks W4 (watch.ts): a rollout-manager that starts again reads no checkpoint, and folds what the topics still hold. */
import { replaceExport } from "./replace-export.mjs";

await replaceExport(
  "services/rollout-manager/dist/checkpoints/checkpoints.js",
  "Checkpoints",
  (Checkpoints) =>
    class extends Checkpoints {
      async newest() {
        return null;
      }
    },
);
