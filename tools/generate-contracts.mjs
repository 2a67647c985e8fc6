// Writes libs/contracts/src/generated/ from schemas/, gives every schema version its registry id, and writes docs/asyncapi.yaml.
//   node tools/generate-contracts.mjs           write
//   node tools/generate-contracts.mjs --check   exit 1 if what is committed is stale, undocumented or incompatible
//   node tools/generate-contracts.mjs --land    also freeze the current schemas as landed versions
// Run it with --conditions=@tributary/source. What it decides is in libs/contracts/src/generation/, with tests.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import "./swc-hook.mjs";

const generation = new URL("../libs/contracts/src/generation/", import.meta.url);
const { EMPTY_LOCK, historyOf } = await import(new URL("history.ts", generation).href);
const { lintSchemas } = await import(new URL("lint.ts", generation).href);
const { moduleTexts } = await import(new URL("module-text.ts", generation).href);

const flags = new Set(process.argv.slice(2));
const unknown = [...flags].filter((flag) => !["--check", "--land"].includes(flag));
if (unknown.length > 0) fail([`unknown option ${unknown.join(" ")}: expected --check or --land`]);

const root = fileURLToPath(new URL("..", import.meta.url));
const schemasDir = join(root, "schemas");
const landedDir = join(schemasDir, "landed");
const lockFile = join(schemasDir, "registry.lock.json");
const generatedDir = join(root, "libs/contracts/src/generated");

const schemas = avscIn(schemasDir).map((name) => ({ name, schema: readJson(join(schemasDir, `${name}.avsc`)) }));
const problems = lintSchemas(schemas);
let lock = existsSync(lockFile) ? readJson(lockFile) : EMPTY_LOCK;
const sources = [];
const files = new Map();
for (const { name, schema } of schemas) {
  const history = historyOf(name, schema, landedVersions(name), lock);
  problems.push(...history.problems);
  lock = history.lock;
  sources.push({ name, schema, versions: history.versions });
  if (flags.has("--land") && history.unlanded !== undefined) {
    files.set(join(landedDir, name, `v${history.unlanded.version}.avsc`), `${JSON.stringify(schema, null, 2)}\n`);
  }
}
for (const name of existsSync(landedDir) ? readdirSync(landedDir) : []) {
  if (!schemas.some((schema) => schema.name === name))
    problems.push(`landed/${name} has no schemas/${name}.avsc any more`);
}
for (const [file, text] of moduleTexts(sources)) files.set(join(generatedDir, file), text);
files.set(lockFile, `${JSON.stringify(lock, null, 2)}\n`);

const stale = [...files].filter(([file, text]) => !existsSync(file) || readFileSync(file, "utf8") !== text);
if (flags.has("--check")) {
  problems.push(...stale.map(([file]) => `${relative(root, file)} is stale: run npm run generate`));
}
if (problems.length > 0) fail(problems);
for (const [file, text] of stale) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}
const count = Object.keys(lock.schemas).length;
const done = flags.has("--check") ? "fresh and FULL_TRANSITIVE" : `${stale.length} files written`;
console.log(`contracts: ${schemas.length} schemas, ${count} versions, ${done}`);
if (!flags.has("--check")) {
  // In a process of its own: it reads what was just written.
  const script = fileURLToPath(new URL("generate-asyncapi.mjs", import.meta.url));
  process.exitCode = spawnSync(process.execPath, [...process.execArgv, script], { stdio: "inherit" }).status ?? 1;
}

function avscIn(dir) {
  const names = readdirSync(dir).filter((file) => file.endsWith(".avsc"));
  return names.map((file) => file.slice(0, -".avsc".length)).sort();
}

function landedVersions(name) {
  const dir = join(landedDir, name);
  if (!existsSync(dir)) return [];
  return avscIn(dir)
    .map((file) => ({ version: Number(file.slice(1)), schema: readJson(join(dir, `${file}.avsc`)) }))
    .sort((a, b) => a.version - b.version);
}

function readJson(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}

function fail(reasons) {
  console.error(reasons.join("\n"));
  process.exit(1);
}
