// npm start: everything this clone needs, then the local stack. Options are the stack's own; see --help.

import { join } from "node:path";
import { bootstrap, exitOnError, hand, nodeFlags, root } from "./bootstrap.mjs";

const startedAt = Date.now();
bootstrap()
  .then(({ node }) =>
    hand(node, [...nodeFlags, join(root, "local-stack/dist/main.js"), ...process.argv.slice(2)], {
      ...process.env,
      TRIBUTARY_STARTED_AT: String(startedAt),
    }),
  )
  .then((code) => process.exit(code), exitOnError);
