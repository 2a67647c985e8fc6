/** Breaks machine.ts U7 for slot world: a device applies a world model at once, parked or not. */
import { replaceExport } from "./replace-export.mjs";

await replaceExport(
  "edge/agent/dist/updates/updater.js",
  "Updater",
  (Updater) =>
    class extends Updater {
      constructor(boot, ports) {
        if (!("onlyParked" in ports)) throw new Error("sabotage: Updater has no port onlyParked");
        super(boot, { ...ports, onlyParked: false });
      }
    },
);
