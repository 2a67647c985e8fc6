// Every check and every test, on one Kafka of its own; the last line is `N passed, N failed`.
// A check that fails does not hide the others; it counts as one failed. A skipped test is a failed one: what is not run proves
// nothing. Only with `--file` may one be left out, by `-t NAME`. No process is left: every child carries the run's mark in its
// environment, and whatever still bears it at the end is killed, named and counted as failed.
// Runs under Node 24 (npm test sees to that). `--ci` adds the second tier (jest.config.mjs); other arguments go to jest, e.g.
// `npm test -- --selectProjects unit`.
// `--file PATH...` runs these tests alone, without checks, and without Kafka where none needs it.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeFlags, root, run, step } from "./bootstrap.mjs";
import { startKafka } from "./kafka.mjs";
import { lints } from "./lint.mjs";
import { killMarked } from "./processes.mjs";
import { needsKafka, parseArguments } from "./test-arguments.mjs";

const RUN_MARK = "TRIBUTARY_TEST_RUN";
const EXIT_MS_MAX = 20_000;
/** A test that never ends must not block a CI machine forever. */
const TESTS_MS_MAX = 2 * 60 * 60_000;
/** Most of them use one processor. */
const CHECKS_AT_ONCE = 2;
const mark = randomBytes(8).toString("hex");
process.env[RUN_MARK] = mark;

const asked = parseArguments(process.argv.slice(2));
const argv = asked.jest.filter((arg) => arg !== "--ci");
const projects = ["unit", "integration", "e2e", ...(asked.jest.includes("--ci") ? ["ci", "ci-stacks"] : [])];
if (asked.files !== undefined) argv.unshift("--runTestsByPath", ...asked.files);
else if (!argv.includes("--selectProjects")) argv.push("--selectProjects", ...projects);

const node = process.execPath;
const checks = [
  ...lints,
  ["contracts", ["--conditions=@tributary/source", "tools/generate-contracts.mjs", "--check"]],
  ["asyncapi", ["--conditions=@tributary/source", "tools/generate-asyncapi.mjs", "--check"]],
  ["build, and types of tests", ["node_modules/typescript/bin/tsc", "-b"]],
];

let passed = 0;
const failures = [];
const startedAt = Date.now();
const workDir = mkdtempSync(join(tmpdir(), "tributary-verify-"));
// Tests start the same programs hundreds of times; single files are run again and again.
process.env.NODE_COMPILE_CACHE = join(asked.files === undefined ? workDir : join(root, ".local"), "compile-cache");
let kafka;
let jest;
let stopping = false;
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    if (stopping) return;
    stopping = true;
    failures.push(`stopped by ${signal}`);
    jest?.kill("SIGTERM");
  });
}

try {
  const waiting = asked.files === undefined ? [...checks] : [];
  await Promise.all(Array.from({ length: CHECKS_AT_ONCE }, () => runChecks(waiting)));
  if (!stopping && needsKafka(asked)) {
    await step("Kafka for this run", async () => {
      kafka = await startKafka({ dataDir: join(workDir, "kafka"), detached: true });
    });
  }
  if (!stopping) count(await tests());
} catch (error) {
  failures.push(error.message);
  console.error(error);
} finally {
  await kafka?.stop();
  rmSync(workDir, { recursive: true, force: true });
  for (const { pid, command } of killMarked(RUN_MARK, mark)) failures.push(`left behind: ${pid} ${command}`);
}
for (const failure of failures) console.log(`failed: ${failure}`);
console.log(`  everything: ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
console.log(`${passed} passed, ${failures.length} failed`);
process.exit(failures.length === 0 && passed > 0 ? 0 : 1);

async function runChecks(waiting) {
  while (!stopping && waiting.length > 0) {
    const [name, args] = waiting.shift();
    try {
      await step(name, () => run(node, args));
      passed++;
    } catch (error) {
      failures.push(name);
      console.error(`\n${error.message}\n`);
    }
  }
}

async function tests() {
  mkdirSync(join(root, ".local"), { recursive: true });
  const resultFile = join(workDir, "jest.json");
  const args = [...nodeFlags, "--experimental-vm-modules", "--no-warnings", "node_modules/jest/bin/jest.js"];
  args.push("--json", `--outputFile=${resultFile}`, "--forceExit", "--maxWorkers=3", ...argv);
  const code = await new Promise((done) => {
    jest = spawn(node, args, {
      cwd: root,
      env: { ...process.env, ...(kafka && { TRIBUTARY_TEST_KAFKA: kafka.brokers }) },
      // jest's report goes to stderr; its JSON to the file.
      stdio: ["ignore", "ignore", "inherit"],
    });
    // It has reported everything and only has to exit.
    const watch = setInterval(() => {
      if (!existsSync(resultFile)) return;
      clearInterval(watch);
      const timer = setTimeout(() => jest.kill("SIGKILL"), EXIT_MS_MAX);
      jest.once("close", () => clearTimeout(timer));
    }, 1_000);
    const deadline = setTimeout(() => jest.kill("SIGKILL"), TESTS_MS_MAX);
    jest.once("close", (status, signal) => {
      clearTimeout(deadline);
      clearInterval(watch);
      done(status ?? signal);
    });
  });
  if (!existsSync(resultFile)) throw new Error(`jest ended with ${code} and no result`);
  return JSON.parse(readFileSync(resultFile, "utf8"));
}

function count(result) {
  passed += result.numPassedTests;
  for (const suite of result.testResults) {
    const name = suite.name.slice(root.length);
    if (suite.status === "failed" && suite.assertionResults.length === 0) failures.push(`${name} did not run`);
    for (const test of suite.assertionResults) {
      if (test.status === "passed" || (test.status === "pending" && asked.files !== undefined)) continue;
      failures.push(`${name}: ${test.fullName} (${test.status})`);
    }
  }
  const files = result.testResults.map((suite) => ({
    name: suite.name.slice(root.length),
    ms: suite.endTime - suite.startTime,
    tests: suite.assertionResults.map(({ title, duration }) => ({ name: `  ${title}`, ms: duration ?? 0 })),
  }));
  const [longest, ...others] = slowest(files);
  const lines = [longest, ...slowest(longest?.tests ?? []), ...others].filter(Boolean);
  for (const { name, ms } of lines) console.log(`  ${(ms / 1000).toFixed(1).padStart(6)} s  ${name}`);
}

function slowest(timed) {
  return timed.toSorted((a, b) => b.ms - a.ms).slice(0, 8);
}
