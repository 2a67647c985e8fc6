// One jest, one total. Run it through `npm test`, or one file of it: npm run test:file -- PATH [-t NAME]
// Sources are compiled by SWC on the fly ("@tributary/source"); processes that tests start run from dist/, so build first.
import { readFileSync } from "node:fs";

const swc = JSON.parse(readFileSync(new URL("./.swcrc", import.meta.url), "utf8"));

const base = {
  rootDir: import.meta.dirname,
  testEnvironment: "<rootDir>/tools/test-environment.cjs",
  // Which files run at the same time.
  runner: "<rootDir>/tools/test-runner.cjs",
  extensionsToTreatAsEsm: [".ts"],
  transform: { "^.+\\.ts$": ["@swc/jest", { ...swc, swcrc: false }] },
  transformIgnorePatterns: ["/node_modules/", "/dist/"],
  modulePathIgnorePatterns: ["/dist/", "<rootDir>/\\.local/", "<rootDir>/\\.nx/", "<rootDir>/training/"],
  testEnvironmentOptions: { customExportConditions: ["@tributary/source", "node", "node-addons"] },
};
/** Suffixes of the tiers that `npm test` leaves out. */
const ASKED_FOR = String.raw`\.(ci|peer|drill)\.test\.ts$`;
const STACKS = "<rootDir>/lab/e2e/";

/**
 * Three tiers, by suffix:
 *
 * | Suffix                                 | Tier               | What is in it                                                      |
 * |----------------------------------------|--------------------|--------------------------------------------------------------------|
 * | `*.test.ts`, `*.integration.test.ts`   | `npm test`         | units; Kafka, MQTT and ONNX; one journey through the whole system  |
 * | `*.ci.test.ts`                         | `.ci/run`          | the faults and third-party programs that have found most           |
 * | `*.peer.test.ts`, `*.drill.test.ts`    | `npm run test:all` | all other third-party programs, guides and faults, one file a part |
 *
 * Those in lab/e2e start whole systems, and run one at a time (tools/test-runner.cjs).
 */
export default {
  // A bound on what hangs, not a measure: a busy machine may take its time.
  testTimeout: 180_000,
  // Modules of earlier files stay in a worker's memory, and collecting garbage beside them took a third of all processor time.
  workerIdleMemoryLimit: "600MB",
  projects: [
    {
      ...base,
      displayName: "unit",
      testMatch: ["<rootDir>/**/src/**/*.test.ts"],
      testPathIgnorePatterns: ["/node_modules/", ASKED_FOR, String.raw`\.integration\.test\.ts$`, STACKS],
    },
    { ...base, displayName: "integration", testMatch: ["<rootDir>/**/src/**/*.integration.test.ts"] },
    {
      ...base,
      displayName: "e2e",
      testMatch: [`${STACKS}src/**/*.test.ts`],
      testPathIgnorePatterns: ["/node_modules/", ASKED_FOR, String.raw`\.integration\.test\.ts$`],
    },
    {
      ...base,
      displayName: "ci",
      testMatch: ["<rootDir>/**/src/**/*.ci.test.ts"],
      testPathIgnorePatterns: ["/node_modules/", STACKS],
    },
    { ...base, displayName: "ci-stacks", testMatch: [`${STACKS}src/**/*.ci.test.ts`] },
    { ...base, displayName: "long", testMatch: ["<rootDir>/**/src/**/*.{peer,drill}.test.ts"] },
  ],
};
