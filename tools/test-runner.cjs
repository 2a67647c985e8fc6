// Jest's runner of every project: which test files share the processors. By the projects of jest.config.mjs, one phase after the other:
//
// 1. The pool, which starts no whole stack: as many files at once as `--maxWorkers` says.
// 2. Whole stacks, one at a time, with all processors to themselves.
const { default: TestRunner } = require("jest-runner");

const STACKS = ["e2e", "ci-stacks"];
/** Of the pool: jest starts large files first, but a file of these kinds takes long whatever its size, and should not be the last. */
const SLOW = ["ci", "integration"];

module.exports = class PhasedRunner extends TestRunner {
  async runTests(tests, watcher, options) {
    // So few that jest starts no workers.
    if (options.serial) return super.runTests(tests, watcher, options);
    const isStack = (test) => STACKS.includes(projectOf(test));
    const run = async (files, serial) => {
      if (files.length > 0 && !watcher.isInterrupted()) await super.runTests(files, watcher, { ...options, serial });
    };
    await run(slowFirst(tests.filter((test) => !isStack(test))), false);
    await run(tests.filter(isStack), true);
  }
};

const projectOf = (test) => test.context.config.displayName?.name;

/** By kind; where jest knows how long a file took the last time, its own order is better. */
function slowFirst(tests) {
  if (tests.some(({ duration }) => duration != null)) return tests;
  const slow = SLOW.flatMap((kind) => tests.filter((test) => projectOf(test) === kind));
  return [...slow, ...tests.filter((test) => !slow.includes(test))];
}
