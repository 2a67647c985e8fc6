// One jest, nine projects, one total. Run it through `npm test`, or one file of it: npm run test:file -- PATH [-t NAME]
// Sources are compiled by SWC on the fly ("@tributary/source"); processes that tests start run from dist/, so build first.
import { readFileSync } from "node:fs";

const swc = JSON.parse(readFileSync(new URL("./.swcrc", import.meta.url), "utf8"));

const base = {
  rootDir: import.meta.dirname,
  testEnvironment: "node",
  // Which files run at the same time.
  runner: "<rootDir>/tools/test-runner.cjs",
  extensionsToTreatAsEsm: [".ts"],
  transform: { "^.+\\.ts$": ["@swc/jest", { ...swc, swcrc: false }] },
  transformIgnorePatterns: ["/node_modules/", "/dist/"],
  modulePathIgnorePatterns: ["/dist/", "<rootDir>/\\.local/", "<rootDir>/\\.nx/", "<rootDir>/training/"],
  testEnvironmentOptions: { customExportConditions: ["@tributary/source", "node", "node-addons"] },
};
const GUIDES = "guides.peer.test.ts";
/** Four programs in Python that are started: as slow as a stack, and as busy. */
const AIRFLOW = "/services/trainer/src/backends/airflow.peer.test.ts";

export default {
  // A bound on what hangs, not a measure: a busy machine may take its time.
  testTimeout: 180_000,
  projects: [
    {
      ...base,
      displayName: "unit",
      testMatch: ["<rootDir>/**/src/**/*.test.ts"],
      testPathIgnorePatterns: ["/node_modules/", "\\.(integration|drill|peer)\\.test\\.ts$", "<rootDir>/lab/e2e/"],
    },
    { ...base, displayName: "integration", testMatch: ["<rootDir>/**/src/**/*.integration.test.ts"] },
    {
      ...base,
      // Whole stacks; those in which faults are made, and those with other people's programs, are below.
      displayName: "e2e",
      testMatch: ["<rootDir>/lab/e2e/src/**/*.test.ts"],
      testPathIgnorePatterns: ["/node_modules/", "\\.((long-)?drill|peer|integration)\\.test\\.ts$"],
    },
    // Tests of faults, and the chaos programs in short: npm test -- --drills.
    {
      ...base,
      displayName: "drills",
      testMatch: ["<rootDir>/**/src/**/*.drill.test.ts"],
      testPathIgnorePatterns: ["/node_modules/", "<rootDir>/lab/e2e/"],
    },
    { ...base, displayName: "stack-drills", testMatch: ["<rootDir>/lab/e2e/src/**/*.drill.test.ts"] },
    // More of them, for which CI has no time: npm test -- --long-drills.
    { ...base, displayName: "long-drills", testMatch: ["<rootDir>/lab/e2e/src/**/*.long-drill.test.ts"] },
    // Against other people's programs: npm test -- --peers.
    {
      ...base,
      displayName: "peers",
      testMatch: ["<rootDir>/**/src/**/*.peer.test.ts"],
      testPathIgnorePatterns: ["/node_modules/", "<rootDir>/lab/e2e/", AIRFLOW],
    },
    // The guides, word for word.
    { ...base, displayName: "guides", testMatch: [`<rootDir>/lab/e2e/src/${GUIDES}`] },
    {
      ...base,
      displayName: "stack-peers",
      testMatch: ["<rootDir>/lab/e2e/src/**/*.peer.test.ts", `<rootDir>${AIRFLOW}`],
      testPathIgnorePatterns: ["/node_modules/", `/${GUIDES}$`],
    },
  ],
};
