// npm run lint: every static check. The last one checks the others: a deliberate violation must be found.
import { pathToFileURL } from "node:url";
import { exitOnError, run, runtimeNode, step } from "./bootstrap.mjs";

/** Name, and Node's arguments. */
export const lints = [
  ["format and lint", ["node_modules/@biomejs/biome/bin/biome", "ci", "--colors=off", "--max-diagnostics=30", "."]],
  ["layers", ["tools/check-rooms.mjs"]],
  ["what ships", ["tools/check-shipped.mjs"]],
  ["references and dependencies", ["tools/check-references.mjs"]],
  ["unused code and dependencies", ["node_modules/knip/bin/knip.js", "--no-progress"]],
  ["words", ["tools/check-words.mjs"]],
  ["rules find violations", ["tools/check-rules.mjs"]],
];

async function main() {
  const node = runtimeNode();
  let failed = 0;
  for (const [name, args] of lints) {
    try {
      await step(name, () => run(node, args));
    } catch (error) {
      failed++;
      console.error(error.message);
    }
  }
  console.log(`${lints.length - failed} of ${lints.length} checks passed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) main().catch(exitOnError);
