/**
 * Breaks no guarantee: it kills a trainer at moments that a kill from outside rarely hits, or stops it there. `TRIBUTARY_DIE_AT=PLACE:KIND,…`
 * names transitions by the kind of their event, and effects by theirs:
 *
 * - `before-write:KIND`: the transition is decided and not written; `after-write:KIND`: Kafka has it, and the trainer does not know.
 * - `stop-before-write:KIND`: it is stopped there (SIGSTOP), and goes on with its write when it is continued.
 * - `within:EFFECT`: soon after the effect began.
 *
 * Each happens once in all processes that share `TRIBUTARY_DIE_ONCE`, a folder. The process kills itself with SIGKILL, and logs where:
 * `{"event":"died","at":"PLACE:KIND"}`, or `"stopped"`.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { replaceExport } from "./replace-export.mjs";

const { topics } = await import("@tributary/contracts");

const places = new Set(process.env.TRIBUTARY_DIE_AT?.split(","));
const dir = process.env.TRIBUTARY_DIE_ONCE;
const WITHIN_MS = 200;

function isFirst(place) {
  if (!places.has(place)) return false;
  try {
    closeSync(openSync(join(dir, place.replace(":", " ")), "wx"));
    return true;
  } catch {
    return false;
  }
}

function at(place) {
  if (!isFirst(place)) return;
  const isStop = place.startsWith("stop");
  writeSync(1, `${JSON.stringify({ event: isStop ? "stopped" : "died", at: place })}\n`);
  process.kill(process.pid, isStop ? "SIGSTOP" : "SIGKILL");
}

const kindsOf = (records) =>
  records
    .filter(({ topic }) => topic === topics.trainingRequests.name)
    .map(({ value }) => topics.trainingRequests.codec.decodeConfluent(value).kind);

await replaceExport(
  "services/trainer/dist/sinks.js",
  "RunsSink",
  (RunsSink) =>
    class extends RunsSink {
      async claim(partition, signal) {
        const writer = await super.claim(partition, signal);
        const send = async (records) => {
          const kinds = kindsOf(records);
          for (const kind of kinds) {
            at(`before-write:${kind}`);
            at(`stop-before-write:${kind}`);
          }
          const positions = await writer.send(records);
          for (const kind of kinds) at(`after-write:${kind}`);
          return positions;
        };
        return { send };
      }
    },
);

await replaceExport(
  "services/trainer/dist/runs/effects.js",
  "TrainerEffects",
  (TrainerEffects) =>
    class extends TrainerEffects {
      perform(run, effect, signal) {
        if (places.has(`within:${effect.kind}`)) setTimeout(() => at(`within:${effect.kind}`), WITHIN_MS);
        return super.perform(run, effect, signal);
      }
    },
);
