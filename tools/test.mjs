// npm test: everything this clone needs, then every check and every test (tools/verify.mjs). Arguments are jest's.
import { join } from "node:path";
import { bootstrap, hand, nodeFlags, root } from "./bootstrap.mjs";

bootstrap()
  .then(({ node }) => hand(node, [...nodeFlags, join(root, "tools/verify.mjs"), ...process.argv.slice(2)]))
  .then(
    (code) => process.exit(code),
    (error) => {
      console.error(error.message);
      console.log("0 passed, 1 failed");
      process.exit(1);
    },
  );
