// The parts of `npm run test:all`: every test file of the third tier by its suffix (jest.config.mjs), and every bench, chaos program and
// demo. A test compares the programs with what `npm run bench`, `chaos` and `demo` list (lab/e2e/src/test-all.ci.test.ts).
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./bootstrap.mjs";

/** Third-party programs, and faults at length. jest.config.mjs knows the other suffixes. */
export const LONG_TEST = /\.(peer|drill)\.test\.ts$/;
const SKIPPED = /(^|\/)(node_modules|dist|\.local|\.nx)(\/|$)/;
const MINUTES_MAX = 15;

/**
 * Program, arguments and the limit in minutes. Each is the shortest run whose gates mean what the document about them says; a test of a
 * program in short has no second run here.
 */
const programs = [
  ["bench", "routing", [], 10],
  ["bench", "edge", [], 10],
  ["bench", "bridge", [], 10],
  ["bench", "cloud", [], 10],
  ["bench", "experiments", [], 20],
  ["bench", "judge", [], 20],
  ["bench", "gate", [], 20],
  ["bench", "packing", [], 15],
  ["bench", "fleet", [], 10],
  ["bench", "drift", ["--quick"], 15],
  ["bench", "vehicle", [], 30],
  ["bench", "ladder", ["--quick"], 10],
  ["bench", "rollouts", [], 10],
  ["bench", "rollout-times", [], 15],
  ["bench", "retrain", ["--quick"], 15],
  ["bench", "tasks", [], 10],
  ["bench", "world", ["--quick"], 10],
  ["chaos", "kafka-outage", [], 10],
  ["chaos", "kafka-faults", [], 15],
  ["chaos", "kill-each", [], 10],
  ["chaos", "dead-classifier", [], 10],
  ["chaos", "pauses", [], 15],
  ["chaos", "power", [], 10],
  ["chaos", "clocks", [], 15],
  ["chaos", "hostile", ["--seconds", "20"], 25],
  ["chaos", "degraded", [], 10],
  ["chaos", "strangers", ["--tries", "1150", "--samples", "150", "--silent", "500", "--herd", "300"], 10],
  ["chaos", "rights", [], 10],
  ["chaos", "ota", ["--kills", "8"], 10],
  ["chaos", "ota-attacks", ["--attacks", "210"], 10],
  ["chaos", "rollout", ["--places", "after-append"], 10],
  ["chaos", "experiment", ["--places", "after-append"], 10],
  ["chaos", "drift", [], 15],
  ["chaos", "retrain", [], 25],
  ["demo", "rollout", ["--case", "mislabelled"], 10],
  ["demo", "drift", ["--tasks", "objects"], 15],
  ["demo", "retrain", ["--tasks", "water"], 30],
  ["demo", "vehicles", [], 10],
  ["demo", "world", [], 15],
  ["demo", "experiment", [], 25],
];

/** Minutes of the test files that take longer than MINUTES_MAX. */
const SLOW_TESTS = {
  "lab/e2e/src/containers.peer.test.ts": 30,
  // The first run builds Kubernetes.
  "lab/e2e/src/cluster.drill.test.ts": 40,
  "lab/e2e/src/deploy-guide.drill.test.ts": 40,
};
const GUIDES = "lab/e2e/src/guides.peer.test.ts";
const GUIDES_MINUTES_MAX = 40;

/**
 * All of them, in the order in which they run: `command` is Node's, `dir` the workspace package whose sources, and those of the packages
 * it depends on, decide about it; `reads` are other files that do.
 */
export function allParts() {
  const tests = longTests().filter((file) => file !== GUIDES);
  return [...tests.map(partOfTest), ...programs.map(partOfProgram), ...guideSessions().map(partOfGuides)];
}

function longTests() {
  const below = (dir) =>
    readdirSync(join(root, dir), { withFileTypes: true }).flatMap((entry) => {
      const path = `${dir}/${entry.name}`;
      if (SKIPPED.test(path)) return [];
      if (entry.isDirectory()) return below(path);
      return LONG_TEST.test(path) ? [path] : [];
    });
  return ["libs", "edge", "services", "cli", "lab"].flatMap(below).sort();
}

const guideSessions = () => JSON.parse(readFileSync(join(root, "lab/e2e/src/guide-sessions.json"), "utf8"));

function partOfTest(file) {
  return {
    name: file.replace("/src/", "/").replace(/\.test\.ts$/, ""),
    command: ["tools/test.mjs", "--file", file],
    dir: file.slice(0, file.indexOf("/src/")),
    reads: [],
    minutesMax: SLOW_TESTS[file] ?? MINUTES_MAX,
  };
}

/** The guides that one person reads one after the other; named by the first. */
function partOfGuides(guides) {
  const [first] = guides;
  return {
    name: `guides ${first.replace(/^docs\/guides\/|\.md$/g, "")}`,
    command: ["tools/test.mjs", "--file", GUIDES, "-t", `who reads ${first} first`],
    dir: "lab/e2e",
    reads: guides,
    minutesMax: GUIDES_MINUTES_MAX,
  };
}

function partOfProgram([program, name, args, minutesMax]) {
  return {
    name: `${program} ${name}`,
    command: ["tools/run.mjs", program, name, ...args],
    dir: `lab/${program}`,
    reads: [],
    minutesMax,
  };
}
