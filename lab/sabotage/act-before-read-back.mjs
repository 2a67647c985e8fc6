/**
 * Breaks V1 (event-log.ts L1): a rollout-manager acts on an event as soon as it proposes it, before it has read back whether it
 * is valid.
 */
import { replaceExport } from "./replace-export.mjs";

await replaceExport(
  "services/rollout-manager/dist/log/event-log.js",
  "EventLog",
  (EventLog) =>
    class extends EventLog {
      #options;

      constructor(options) {
        super(options);
        this.#options = options;
      }

      async propose(proposal, by) {
        const { controller, clock, onChange } = this.#options;
        if (!this.isBusy(proposal.uid)) {
          const event = { ...proposal, by, at: clock.now() };
          const generation = this.nextGeneration;
          if (controller.applied(event, generation).kind === "counts") onChange(event, generation);
        }
        return super.propose(proposal, by);
      }
    },
);
