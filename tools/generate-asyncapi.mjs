// Writes docs/asyncapi.yaml, the description of the topics that the gateway also serves.
//   node --conditions=@tributary/source tools/generate-asyncapi.mjs           write
//   node --conditions=@tributary/source tools/generate-asyncapi.mjs --check   exit 1 if what is committed is stale
// What it says is decided in services/gateway/src/asyncapi/, with tests.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import "./swc-hook.mjs";

const unknown = process.argv.slice(2).filter((flag) => flag !== "--check");
if (unknown.length > 0) fail(`unknown option ${unknown.join(" ")}: expected --check`);

const source = new URL("../services/gateway/src/", import.meta.url);
const { asyncApiOf, asyncApiYaml } = await import(new URL("asyncapi/document.ts", source).href);
const { API_VERSION } = await import(new URL("version.ts", source).href);

const file = fileURLToPath(new URL("../docs/asyncapi.yaml", import.meta.url));
const document = asyncApiOf(API_VERSION);
const text = asyncApiYaml(document);
const isFresh = existsSync(file) && readFileSync(file, "utf8") === text;
if (process.argv.includes("--check") && !isFresh) {
  fail("docs/asyncapi.yaml is stale: run npm run generate");
}
if (!isFresh) writeFileSync(file, text);
console.log(`asyncapi: ${Object.keys(document.channels).length} channels, ${isFresh ? "fresh" : "written"}`);

function fail(reason) {
  console.error(reason);
  process.exit(1);
}
