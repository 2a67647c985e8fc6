// Checks that nothing that ships can break a guarantee (ADR 43): no configuration key and no environment variable that only tests
// and control runs would set, and no way into lab/. It checks itself as check-rooms.mjs does: it plants one violation of
// every rule and fails when a rule does not find its own.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
/** What images, the agent's artefact and deployments are made of. */
const SHIPPED = ["libs", "services", "edge", "cli", "schemas", "deploy", "k8s", "Dockerfile", "docker-compose.yml"];
const NOT_SHIPPED = /(^|\/)(node_modules|dist|libs\/testing)$|\.test(-kit)?\.ts$/;
const TEXT = /\.([cm]?[jt]s|json|avsc|ya?ml|conf|service|sh)$|Dockerfile$/;

const rules = [
  {
    name: "no-test-only-key",
    pattern: /(?<![A-Za-z])testOnly|TestOnly|TEST_ONLY/, // `latestOnly` is none.
    planted: ["edge/agent/src/planted.ts", "export const config = { testOnly: { skipsDigests: true } };"],
  },
  {
    name: "no-test-variable",
    pattern: /TRIBUTARY_TEST_/,
    planted: ["services/router/src/planted.ts", 'export const skips = process.env.TRIBUTARY_TEST_SKIP === "1";'],
  },
  {
    name: "lab-stays-outside",
    pattern: /\blab\/sabotage\b/,
    planted: ["edge/bridge/src/planted.ts", 'await import("../../../lab/sabotage/early-puback.mjs");'],
  },
];

const found = violationsIn(root);
for (const { rule, file, line } of found) console.error(`${rule}: ${file}:${line}`);
const rehearsed = rehearsal();
const unseen = rules.filter(
  ({ name, planted: [file] }) => !rehearsed.some((one) => one.rule === name && one.file === file),
);
for (const { name, planted } of unseen) console.error(`${name}: does not find ${planted.join(": ")}`);
if (found.length + unseen.length > 0) process.exit(1);
console.log(`shipped: ${rules.length} rules hold, and each finds the violation planted for it`);

function violationsIn(dir) {
  const files = SHIPPED.filter((path) => existsSync(join(dir, path))).flatMap((path) => filesBelow(dir, path));
  if (files.length === 0) throw new Error(`${dir} has no file that ships`);
  return files.flatMap((file) =>
    readFileSync(join(dir, file), "utf8")
      .split("\n")
      .flatMap((text, i) => {
        const broken = rules.filter(({ pattern }) => pattern.test(text));
        return broken.map(({ name }) => ({ rule: name, file, line: i + 1 }));
      }),
  );
}

function filesBelow(dir, path) {
  if (NOT_SHIPPED.test(path)) return [];
  if (statSync(join(dir, path)).isDirectory()) {
    return readdirSync(join(dir, path)).flatMap((name) => filesBelow(dir, `${path}/${name}`));
  }
  return TEXT.test(path) ? [path] : [];
}

function rehearsal() {
  mkdirSync(join(root, ".local"), { recursive: true });
  const dir = mkdtempSync(join(root, ".local/shipped-"));
  try {
    for (const {
      planted: [file, text],
    } of rules) {
      mkdirSync(dirname(join(dir, file)), { recursive: true });
      writeFileSync(join(dir, file), `${text}\n`);
    }
    return violationsIn(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
