// Writes docs/asyncapi.yaml, the description of the topics that the gateway also serves, and the tables of docs/mqtt-contract.md
// that are generated from the code.
//   node --conditions=@tributary/source tools/generate-asyncapi.mjs           write
//   node --conditions=@tributary/source tools/generate-asyncapi.mjs --check   exit 1 if what is committed is stale
// services/gateway/src/asyncapi/ makes the former, with tests.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import "./swc-hook.mjs";

const unknown = process.argv.slice(2).filter((flag) => flag !== "--check");
if (unknown.length > 0) fail(`unknown option ${unknown.join(" ")}: expected --check`);

const source = (path) => import(new URL(`../${path}`, import.meta.url).href);
const { asyncApiOf, asyncApiYaml } = await source("services/gateway/src/asyncapi/document.ts");
const { API_VERSION } = await source("services/gateway/src/version.ts");
const { contractTables } = await import("./contract-tables.mjs");

const document = asyncApiOf(API_VERSION);
const page = fileURLToPath(new URL("../docs/mqtt-contract.md", import.meta.url));
const isFresh = [
  keep(fileURLToPath(new URL("../docs/asyncapi.yaml", import.meta.url)), asyncApiYaml(document)),
  keep(page, withTables(readFileSync(page, "utf8"), contractTables())),
].every((fresh) => fresh);
console.log(`asyncapi: ${Object.keys(document.channels).length} channels, ${isFresh ? "fresh" : "written"}`);

/** Whether the file was up to date. */
function keep(file, text) {
  const isFresh = existsSync(file) && readFileSync(file, "utf8") === text;
  if (process.argv.includes("--check") && !isFresh) fail(`${file} is stale: run npm run generate`);
  if (!isFresh) writeFileSync(file, text);
  return isFresh;
}

function withTables(text, tables) {
  const known = new Set(Object.keys(tables));
  const written = text.replaceAll(
    /(<!-- generated: (\w+) -->\n)[\s\S]*?(<!-- \/generated -->)/g,
    (_, begin, name, end) => {
      if (!known.delete(name)) fail(`${page}: there is no table "${name}", or it occurs twice`);
      return `${begin}\n${tables[name]}\n${end}`;
    },
  );
  if (known.size > 0) fail(`${page} has no place for ${[...known].join(", ")}`);
  return written;
}

function fail(reason) {
  console.error(reason);
  process.exit(1);
}
