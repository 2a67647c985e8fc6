/** Breaks W3 (clock-watch.ts): what goes by a clock that is never beyond Kafka's goes by the process's own. */
import { replaceExport } from "./replace-export.mjs";

await replaceExport(
  "libs/service-kit/dist/clock-watch.js",
  "ClockWatch",
  (ClockWatch) =>
    class extends ClockWatch {
      constructor(options) {
        super(options);
        this.bounded = options.clock;
      }
    },
);
