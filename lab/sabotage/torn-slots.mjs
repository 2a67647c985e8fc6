/**
 * Breaks G7 (package-store.ts S1): the agent's list of slots is written once more, in place and slowly. An agent that is killed
 * meanwhile leaves half a list.
 */
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { replaceExport } from "./replace-export.mjs";

const TORN_MS = 150;

await replaceExport(
  "edge/agent/dist/updates/package-store.js",
  "PackageStore",
  (PackageStore) =>
    class extends PackageStore {
      async write(durable) {
        await super.write(durable);
        const path = join(this.dir, "slots.json");
        const bytes = await readFile(path);
        const half = bytes.length >> 1;
        const file = await open(path, "w");
        try {
          await file.write(bytes.subarray(0, half));
          await sleep(TORN_MS);
          await file.write(bytes.subarray(half));
        } finally {
          await file.close();
        }
      }
    },
);
