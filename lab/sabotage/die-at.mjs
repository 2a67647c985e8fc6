/**
 * Breaks no guarantee: it kills a rollout-manager at moments that a kill from outside rarely hits. `TRIBUTARY_DIE_AT=PLACE:KIND,…`
 * names transitions by the kind of their event, and the place in each: `before-append`, `after-append`, `after-read-back`, or
 * `while-writing-desired`, when the desired states of some devices are written and those of others are not. The process kills itself with
 * SIGKILL at the first of them, and logs which: `{"event":"died","at":"PLACE:KIND"}`.
 */
import { writeSync } from "node:fs";
import { replaceExport } from "./replace-export.mjs";

const { topics } = await import("@tributary/contracts");

const deaths = new Set(process.env.TRIBUTARY_DIE_AT?.split(","));
const DEVICES_AT_ONCE = 2;

function at(place, kind) {
  if (!deaths.has(`${place}:${kind}`)) return;
  writeSync(1, `${JSON.stringify({ event: "died", at: `${place}:${kind}` })}\n`);
  process.kill(process.pid, "SIGKILL");
}

await replaceExport(
  "services/rollout-manager/dist/log/event-log.js",
  "EventLog",
  (EventLog) =>
    class extends EventLog {
      /** By rollout: of what is proposed. */
      #kinds;

      constructor(options) {
        const kinds = new Map();
        const send = async (records) => {
          const positions = await options.sink.send(records);
          for (const { key } of records) at("after-append", kinds.get(key));
          return positions;
        };
        super({ ...options, sink: { send } });
        this.#kinds = kinds;
      }

      async propose(proposal, by) {
        const { uid, change } = proposal;
        if (!this.isBusy(uid)) {
          this.#kinds.set(uid, change.kind);
          at("before-append", change.kind);
        }
        const outcome = await super.propose(proposal, by);
        at("after-read-back", change.kind);
        return outcome;
      }
    },
);

await replaceExport(
  "services/rollout-manager/dist/desired/desired-writer.js",
  "DesiredWriter",
  (DesiredWriter) =>
    class extends DesiredWriter {
      /** By generation. */
      #kinds;

      constructor(options) {
        const kinds = new Map();
        const send = async (records) => {
          for (let i = 0; i < records.length; i += DEVICES_AT_ONCE) {
            const some = records.slice(i, i + DEVICES_AT_ONCE);
            await options.sink.send(some);
            for (const { value } of some) {
              at("while-writing-desired", kinds.get(topics.desired.codec.decodeConfluent(value).generation));
            }
          }
        };
        super({ ...options, sink: { send } });
        this.#kinds = kinds;
      }

      decided(event, generation) {
        this.#kinds.set(generation, event.change.kind);
        super.decided(event, generation);
      }
    },
);
