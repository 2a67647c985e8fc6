/**
 * Breaks no guarantee: it kills a drift-monitor while a verdict opens, a moment that a kill from outside rarely hits. `TRIBUTARY_DIE_AT`
 * names when: `before-verdict`, when it is decided and not written; `after-verdict`, when it is being written. The process
 * kills itself with SIGKILL at the first of them, and logs which: `{"event":"died","at":"before-verdict"}`.
 */
import { writeSync } from "node:fs";
import { replaceExport } from "./replace-export.mjs";

const deaths = new Set(process.env.TRIBUTARY_DIE_AT?.split(","));
const WRITING_MS = 5;

function at(place) {
  if (!deaths.has(place)) return;
  writeSync(1, `${JSON.stringify({ event: "died", at: place })}\n`);
  process.kill(process.pid, "SIGKILL");
}

await replaceExport("libs/core/drift/dist/decide-verdicts.js", "decideVerdicts", (decideVerdicts) => (...look) => {
  const changed = decideVerdicts(...look);
  if (changed.some(({ state, version }) => state === "OPEN" && version === 1n)) {
    at("before-verdict");
    setTimeout(() => at("after-verdict"), WRITING_MS);
  }
  return changed;
});
