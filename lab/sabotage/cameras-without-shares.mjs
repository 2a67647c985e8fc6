/**
 * Breaks G13 (frame-index.ts of the gateway): beyond the bound of ranges the device that was read longest ago forgets its cameras,
 * however few it has, so that one that invents cameras pushes out the others'.
 */
import { replaceExport } from "./replace-export.mjs";

await replaceExport(
  "libs/kernel/dist/owner-shares.js",
  "Holdings",
  (Holdings) =>
    class extends Holdings {
      /** The owners, the one that was read longest ago first. */
      #owners = new Set();

      add(owner, by) {
        super.add(owner, by);
        if (by < 0) return;
        this.#owners.delete(owner);
        this.#owners.add(owner);
      }

      largest() {
        return [...this.#owners].find((owner) => this.of(owner) > 0);
      }
    },
);
