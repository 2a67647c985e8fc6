// npm run bench -- NAME, npm run chaos -- NAME, npm run demo -- NAME: everything this clone needs, then the program.
import { join } from "node:path";
import { bootstrap, exitOnError, hand, nodeFlags, root } from "./bootstrap.mjs";

const [kind, ...args] = process.argv.slice(2);
if (!["bench", "chaos", "demo"].includes(kind)) {
  console.error("node tools/run.mjs bench|chaos|demo NAME [options]");
  process.exit(2);
}
bootstrap({ kafka: kind !== "bench" })
  .then(({ node }) => hand(node, [...nodeFlags, join(root, kind, "dist/main.js"), ...args]))
  .then((code) => process.exit(code), exitOnError);
