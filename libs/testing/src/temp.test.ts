import { execFileSync } from "node:child_process";
import { expect, test } from "@jest/globals";
import { freePort, repositoryRoot } from "./index.ts";

test("a free port is given once, to one process, though no process listens on it yet", async () => {
  // 400 and 400 drawn at random from 10,000 would share 16.
  const own = await Promise.all(Array.from({ length: 400 }, freePort));
  const script = `import { freePort } from "./tools/kafka.mjs";
    console.log(JSON.stringify(await Promise.all(Array.from({ length: 400 }, freePort))));`;
  const others = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
    cwd: repositoryRoot,
    encoding: "utf8",
  });
  expect(new Set([...own, ...JSON.parse(others)]).size).toBe(800);
});
