// npm start and npm run bench|chaos|demo|containers|cluster -- NAME: everything this clone needs, then the program. Options are the program's own; see
// its --help.
import { join } from "node:path";
import { bootstrap, exitOnError, hand, nodeFlags, root } from "./bootstrap.mjs";

const startedAt = Date.now();
const programs = {
  start: "stack",
  bench: "bench",
  chaos: "chaos",
  demo: "demo",
  containers: "containers",
  cluster: "cluster",
};
const [name, ...args] = process.argv.slice(2);
if (!Object.hasOwn(programs, name ?? "")) {
  console.error(`node tools/run.mjs ${Object.keys(programs).join("|")} [options]`);
  process.exit(2);
}
bootstrap({ kafka: !["bench", "cluster"].includes(name) })
  .then(({ node }) =>
    hand(node, [...nodeFlags, join(root, "lab", programs[name], "dist/main.js"), ...args], {
      ...process.env,
      TRIBUTARY_STARTED_AT: String(startedAt),
    }),
  )
  .then((code) => process.exit(code), exitOnError);
