// Jest's runner of every project: which test files share the processors. By the projects of jest.config.mjs, one phase after the other:
//
// 1. The pool, which starts no whole stack, and beside it the guides, whose sessions mostly wait: for npm, pip and programs that start.
//    They have the default ports, which no test of the pool uses. While the pool runs, the folder TRIBUTARY_TEST_POOL is there: a session
//    that needs the machine to itself waits until it is gone.
// 2. Whole stacks beside other people's programs, where nothing depends on how fast these are: as many.
// 3. Whole stacks alone, one at a time, with all processors to themselves; and what starts as slowly as a stack.
//
// Files of the first two phases run as `--maxWorkers` says.
const { mkdtempSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { default: TestRunner } = require("jest-runner");

const BESIDE_THE_POOL = ["guides"];
/** Nothing in them depends on how fast a stack is. */
const PAIRED = /\b(airflow|consumers|observability|registry)\.peer\.test\.ts$/;
const ALONE = ["stack-drills", "stack-peers", "e2e", "long-drills"];
const STACKS = [...BESIDE_THE_POOL, ...ALONE];
/** Of the pool: jest starts large files first, but a file of these kinds takes long whatever its size, and should not be the last. */
const SLOW = ["drills", "peers", "integration"];

module.exports = class PhasedRunner extends TestRunner {
  async runTests(tests, watcher, options) {
    // So few that jest starts no workers.
    if (options.serial) return super.runTests(tests, watcher, options);
    const of = (projects) => tests.filter((test) => projects.includes(projectOf(test)));
    const run = async (files, serial = false) => {
      if (files.length > 0 && !watcher.isInterrupted()) await super.runTests(files, watcher, { ...options, serial });
    };
    const pool = slowFirst(tests.filter((test) => !STACKS.includes(projectOf(test))));
    const running = mkdtempSync(join(tmpdir(), "tributary-test-pool-"));
    process.env.TRIBUTARY_TEST_POOL = running;
    const ofPool = run(pool).finally(() => rmSync(running, { recursive: true, force: true }));
    await Promise.all([ofPool, run(of(BESIDE_THE_POOL))]);
    const alone = of(ALONE);
    const isPaired = (test) => projectOf(test) === "stack-peers" && PAIRED.test(test.path);
    await run(alone.filter(isPaired));
    await run(
      alone.filter((test) => !isPaired(test)),
      true,
    );
  }
};

const projectOf = (test) => test.context.config.displayName?.name;

/** By kind; where jest knows how long a file took the last time, its own order is better. */
function slowFirst(tests) {
  if (tests.some(({ duration }) => duration != null)) return tests;
  const slow = SLOW.flatMap((kind) => tests.filter((test) => projectOf(test) === kind));
  return [...slow, ...tests.filter((test) => !slow.includes(test))];
}
