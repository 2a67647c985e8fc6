// Checks the checkers beside check-rooms.mjs: a deliberate violation of each rule must be found. A rule that is switched off, or
// a pattern that matches nothing, is silent.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { root } from "./bootstrap.mjs";
import { banned, wordProblems } from "./check-words.mjs";

const unseen = [];
for (const phrase of banned.flatMap(({ not }) => not)) {
  const name = phrase.replaceAll(/ (.)/g, (_, letter) => letter.toUpperCase());
  for (const text of [`const ${name} = 1;`, `/** It is ${phrase.replace(" ", "\n * ")}. */`])
    if (wordProblems("planted.ts", text).length === 0) unseen.push(`words: does not find ${text}`);
}

const dir = mkdtempSync(join(tmpdir(), "tributary-rules-"));
try {
  plant();
  mustFind("biome", ["@biomejs/biome/bin/biome", "lint", "--colors=off", "."], ["noExcessiveLinesPerFunction"]);
  const found = ["plantedExport", "plantedFile", "planted-unused", "planted-undeclared"];
  mustFind("knip", ["knip/bin/knip.js", "--no-progress", "--no-config-hints"], found);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
for (const line of unseen) console.error(line);
if (unseen.length > 0) process.exit(1);
console.log("rules: each finds the violation planted for it");

/** A workspace of two packages, with one violation of each kind. */
function plant() {
  for (const file of [
    "biome.json",
    "knip.json",
    "tsconfig.base.json",
    "libs/kernel/tsconfig.json",
    "cli/tsconfig.json",
  ])
    cpSync(join(root, file), join(dir, file));
  write(".gitignore", "node_modules/\n");
  write("package.json", { name: "planted", private: true, type: "module", workspaces: ["libs/*", "cli"] });
  const { exports } = JSON.parse(readFileSync(join(root, "libs/kernel/package.json"), "utf8"));
  write("libs/kernel/package.json", { name: "@tributary/kernel", type: "module", exports: { ".": exports["."] } });
  write("libs/kernel/src/index.ts", 'export { used, plantedExport } from "./long.ts";\n');
  const lines = '  console.log("a line");\n'.repeat(71);
  write("libs/kernel/src/long.ts", `export function used() {\n${lines}}\nexport const plantedExport = 2;\n`);
  write("libs/kernel/src/plantedFile.ts", "export const nobody = 3;\n");
  const dependencies = { "@tributary/kernel": "0.1.0", "planted-unused": "1.0.0" };
  write("cli/package.json", { name: "@tributary/cli", type: "module", dependencies });
  write("cli/src/main.ts", 'import { used } from "@tributary/kernel";\nimport "planted-undeclared";\nused();\n');
  mkdirSync(join(dir, "node_modules/@tributary"), { recursive: true });
  symlinkSync("../../libs/kernel", join(dir, "node_modules/@tributary/kernel"));
}

function write(file, content) {
  mkdirSync(dirname(join(dir, file)), { recursive: true });
  writeFileSync(join(dir, file), typeof content === "string" ? content : JSON.stringify(content));
}

function mustFind(name, [bin, ...args], expected) {
  const command = [join(root, "node_modules", bin), ...args];
  const { stdout, stderr } = spawnSync(process.execPath, command, { cwd: dir, encoding: "utf8" });
  for (const text of expected)
    if (!(stdout + stderr).includes(text)) unseen.push(`${name}: does not find ${text}\n${stdout}${stderr}`);
}
