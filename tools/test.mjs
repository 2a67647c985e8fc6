// npm test: everything this clone needs, then every check and every test. Arguments are jest's.
// npm run test:file -- PATH... [-t NAME]: those test files, or those below a folder, and no check.
// Both are verify.mjs, under Node 24.
import { join } from "node:path";
import { bootstrap, hand, nodeFlags, root, run } from "./bootstrap.mjs";
import { needsKafka, parseArguments } from "./test-arguments.mjs";

const args = process.argv.slice(2);
try {
  const asked = parseArguments(args);
  if (asked.files?.length === 0) {
    console.log("there is no test in it\n0 passed, 0 failed");
    process.exit(0);
  }
  const [{ node }] = await Promise.all([
    bootstrap({ kafka: needsKafka(asked) }),
    // Downloads, mostly: the processor is busy with npm's.
    args.includes("--ci") && run(process.execPath, ["tools/peers.mjs"], { stdio: "inherit" }),
  ]);
  process.exit(await hand(node, [...nodeFlags, join(root, "tools/verify.mjs"), ...args]));
} catch (error) {
  console.error(error.message);
  console.log("0 passed, 1 failed");
  process.exit(1);
}
