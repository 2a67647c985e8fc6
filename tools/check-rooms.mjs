// Checks the rooms (.dependency-cruiser.cjs) on the tree, and checks the checker: in a copy of the workspace's shape it
// plants one violation of every rule and fails when a rule does not find its own. A glob that matches nothing is silent.
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const require = createRequire(import.meta.url);
const rules = require("../.dependency-cruiser.cjs").forbidden.map((rule) => rule.name);

/** [rule, file that must not, what it imports] */
const plants = [
  ["kernel-room", "libs/kernel/src/planted.ts", "@tributary/contracts"],
  ["contracts-room", "libs/contracts/src/planted.ts", "@tributary/kernel"],
  ["api-room", "libs/api/src/planted.ts", "@tributary/contracts"],
  ["core-room", "libs/core/routing/src/planted.ts", "@tributary/telemetry"],
  ["telemetry-room", "libs/telemetry/src/planted.ts", "@tributary/contracts"],
  ["config-room", "libs/config/src/planted.ts", "@tributary/telemetry"],
  ["adapters-room", "libs/adapters/mqtt/src/planted.ts", "@tributary/service-kit"],
  ["serviceKit-room", "libs/service-kit/src/planted.ts", "@tributary/routing"],
  ["followedPackages-room", "libs/followed-packages/src/planted.ts", "@tributary/api"],
  ["modelPackaging-room", "libs/model-packaging/src/planted.ts", "@tributary/service-kit"],
  ["localTraining-room", "libs/local-training/src/planted.ts", "@tributary/service-kit"],
  ["testing-room", "libs/testing/src/planted.ts", "@tributary/gateway"],
  ["services-room", "services/router/src/planted.ts", "@tributary/agent"],
  ["edge-room", "edge/bridge/src/planted.ts", "@tributary/router"],
  ["cli-room", "cli/src/planted.ts", "@tributary/gateway"],
  ["console-room", "console/src/planted.ts", "@tributary/kernel"],
  ["lab-room", "lab/chaos/src/planted.ts", "@tributary/bridge"],
  ["bench-room", "lab/bench/src/planted.ts", "@tributary/router"],
  ["adapters-alone", "libs/adapters/kafka/src/planted.ts", "@tributary/onnx"],
  ["services-alone", "services/gateway/src/planted.ts", "@tributary/router"],
  ["edge-alone", "edge/agent/src/planted.ts", "@tributary/bridge"],
  ["testing-in-tests-only", "services/router/src/planted-too.ts", "@tributary/testing"],
  ["core-does-no-io", "libs/core/routing/src/settlement/planted.ts", "node:fs"],
  ["agent-never-reaches-kafka", "edge/agent/src/planted-too.ts", "@tributary/kafka"],
  ["one-follower", "services/router/src/planted-follower.ts", "@tributary/kafka/tail"],
  ["kafka-sdk", "services/router/src/planted-sdk.ts", "kafkajs"],
  ["mqtt-sdk", "edge/agent/src/planted-sdk.ts", "mqtt"],
  ["onnx-sdk", "services/cloud-classifier/src/planted-sdk.ts", "onnxruntime-node"],
  ["calls-sdk", "services/gateway/src/planted-sdk.ts", "cockatiel"],
  ["tuf-sdk", "edge/agent/src/planted-tuf.ts", "tuf-js"],
  ["sagemaker-sdk", "cli/src/planted-sdk.ts", "@aws-sdk/client-sagemaker-runtime"],
  ["s3-sdk", "services/router/src/planted-s3.ts", "@aws-sdk/client-s3"],
  ["training-sdk", "cli/src/planted-sfn.ts", "@aws-sdk/client-sfn"],
  ["no-circle", "libs/kernel/src/planted-circle.ts", "./planted-circle-back.ts"],
  ["resolvable", "libs/kernel/src/planted-missing.ts", "./nowhere.ts"],
];

const found = cruise(root);
for (const { rule, from, to } of found) console.error(`${rule}: ${from} -> ${to}`);

const unplanted = rules.filter((rule) => !plants.some(([name]) => name === rule));
const unseen = plants.filter(
  ([rule, file]) => !rehearsal().some((v) => v.rule === rule && (v.from === file || v.to === file)),
);
for (const rule of unplanted) console.error(`${rule}: no violation is planted for it in tools/check-rooms.mjs`);
for (const [rule, file, target] of unseen) console.error(`${rule}: does not find ${file} -> ${target}`);
if (found.length + unplanted.length + unseen.length > 0) process.exit(1);
console.log(`rooms: ${rules.length} rules hold, and each finds the violation planted for it`);

function cruise(dir) {
  const top = ["libs", "services", "edge", "cli", "console", "lab"].filter((name) => existsSync(join(dir, name)));
  const bin = join(root, "node_modules/dependency-cruiser/bin/dependency-cruiser.mjs");
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [bin, ...top, "--config", ".dependency-cruiser.cjs", "--output-type", "json"],
    { cwd: dir, encoding: "utf8", maxBuffer: 1 << 28 },
  );
  let summary;
  try {
    ({ summary } = JSON.parse(stdout));
  } catch {
    throw new Error(`dependency-cruiser gave no answer: ${stderr || stdout}`);
  }
  if (summary.totalCruised === 0) throw new Error("dependency-cruiser saw no module");
  return summary.violations.map(({ rule, from, to }) => ({ rule: rule.name, from, to }));
}

/** The violations found where every package is an empty one, but for the planted files. */
function rehearsal() {
  if (rehearsal.violations) return rehearsal.violations;
  mkdirSync(join(root, ".local"), { recursive: true });
  const dir = mkdtempSync(join(root, ".local/rooms-"));
  try {
    cpSync(join(root, ".dependency-cruiser.cjs"), join(dir, ".dependency-cruiser.cjs"));
    write(join(dir, "package.json"), JSON.stringify({ name: "planted", private: true, type: "module" }));
    const groups = ["libs", "libs/core", "libs/adapters", "services", "edge", "lab"].flatMap((group) =>
      readdirSync(join(root, group)).map((name) => join(group, name)),
    );
    for (const pkg of [...groups, "cli"]) {
      const file = join(root, pkg, "package.json");
      if (!existsSync(file)) continue;
      const { name, exports = "./src/index.ts" } = JSON.parse(readFileSync(file, "utf8"));
      write(join(dir, pkg, "package.json"), JSON.stringify({ name, type: "module", exports }));
      write(join(dir, pkg, "src/index.ts"), "export const here = true;\n");
      const link = join(dir, "node_modules", name);
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(relative(dirname(link), join(dir, pkg)), link);
    }
    for (const sdk of [
      "kafkajs",
      "mqtt",
      "onnxruntime-node",
      "cockatiel",
      "tuf-js",
      "@aws-sdk/client-sagemaker-runtime",
      "@aws-sdk/client-s3",
    ]) {
      write(join(dir, "node_modules", sdk, "package.json"), JSON.stringify({ name: sdk, main: "index.js" }));
      write(join(dir, "node_modules", sdk, "index.js"), "module.exports = {};\n");
    }
    write(join(dir, "libs/adapters/kafka/src/tail.ts"), "export const tail = true;\n");
    for (const [, file, target] of plants)
      write(join(dir, file), `import * as there from "${target}";\nexport const planted = there;\n`);
    write(join(dir, "libs/kernel/src/planted-circle-back.ts"), 'export { planted } from "./planted-circle.ts";\n');
    rehearsal.violations = cruise(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  return rehearsal.violations;
}

function write(file, text) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}
