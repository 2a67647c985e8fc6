// Jest's runner of every project: which test files share the processors. By the projects of jest.config.mjs:
//
// - The pool: what starts no whole stack, `--maxWorkers` files at a time.
// - Beside the pool, the guides: their sessions mostly wait, for npm, pip and a rollout's evidence. They have the default ports, which no
//   test of the pool uses.
// - After both, one at a time, what starts a whole stack: it has all processors to itself.
const { default: TestRunner } = require("jest-runner");

const BESIDE = ["guides"];
const ALONE = ["e2e", "stack-drills", "long-drills", "stack-peers"];
/** Of which a file takes long. Jest starts large files first, which says little; the last ones should be short. */
const SLOW = ["drills", "peers", "integration"];

module.exports = class PhasedRunner extends TestRunner {
  async runTests(tests, watcher, options) {
    // So few that Jest starts no workers.
    if (options.serial) return super.runTests(tests, watcher, options);
    const beside = tests.filter((test) => BESIDE.includes(projectOf(test)));
    const alone = tests.filter((test) => ALONE.includes(projectOf(test)));
    const pool = slowFirst(tests.filter((test) => !beside.includes(test) && !alone.includes(test)));
    const together = [pool, beside].filter(({ length }) => length > 0);
    await Promise.all(together.map((phase) => super.runTests(phase, watcher, { ...options, serial: false })));
    if (!watcher.isInterrupted()) await super.runTests(alone, watcher, { ...options, serial: true });
  }
};

const projectOf = (test) => test.context.config.displayName?.name;

/** By kind; where Jest knows how long a file took the last time, its own order is better. */
function slowFirst(tests) {
  if (tests.some(({ duration }) => duration != null)) return tests;
  const isSlow = (kind) => (test) => projectOf(test) === kind;
  return [
    ...SLOW.flatMap((kind) => tests.filter(isSlow(kind))),
    ...tests.filter((test) => !SLOW.includes(projectOf(test))),
  ];
}
