#!/usr/bin/env node
// `tributary` in a clone, right after `npm ci`, which links it as node_modules/.bin/tributary: builds the command line if that
// was not done since, then runs it. Plain JavaScript, since it runs before anything is built.
import { spawnSync } from "node:child_process";
import { existsSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url)).slice(0, -1); // without the last slash
const main = join(root, "cli/dist/main.js");
const installed = join(root, "node_modules/.package-lock.json");

if (!existsSync(installed)) end(`nothing is installed yet: run npm ci in ${root}`);
if (!existsSync(main) || statSync(main).mtimeMs < statSync(installed).mtimeMs) build();
// npm runs scripts in the root, wherever it was called: files of the command line are relative to there.
if (process.env.npm_lifecycle_event === "tributary" && process.env.INIT_CWD) process.chdir(process.env.INIT_CWD);
await import("./dist/main.js");

function build() {
  console.error(
    "tributary: building the command line, once after npm ci; tributary --help describes how to put it on the PATH",
  );
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { status } = spawnSync(process.execPath, [tsc, "-b", "cli"], { cwd: root, stdio: ["ignore", 2, 2] });
  if (status !== 0) end("the build failed: see above");
  utimesSync(main, new Date(), new Date()); // tsc does not touch an unchanged file.
}

function end(reason) {
  console.error(`tributary: ${reason}`);
  process.exit(1);
}
