// Checks that each package can be built and installed alone, as the Dockerfile does it: `tsc -b` of one package finds only the packages
// that its tsconfig.json references, and an image has only what its package.json lists under `dependencies`. A build of everything, or a
// program run in the work tree, finds the others as well. So of every file that is compiled (no test, no test kit):
// R1. Each package of this repository that it imports is referenced by its tsconfig.json.
// R2. Each package that it imports, whoever's, is a dependency in its package.json, and so is each that is referenced.
// It checks itself: it plants one violation of each rule and fails when the rule does not find its own.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { root } from "./bootstrap.mjs";

const GROUPS = ["libs", "libs/core", "libs/adapters", "services", "edge", "lab"];
const CLAUSE = /(?:\w+\s*,\s*)?(?:\*(?:\s+as\s+\w+)?|\w+|\{[^}]*\})\s*from\s*"([^"]+)"/.source;
/** What is there at run time: statements that import values, and calls. */
const IMPORT = new RegExp(
  `(?:^|\\n)\\s*(?:import|export)\\s*${CLAUSE}|(?:^|\\n)\\s*import\\s*"([^"]+)"|\\b(?:import|import\\.meta\\.resolve|require(?:\\.resolve)?)\\(\\s*"([^"]+)"`,
  "g",
);
const TYPE_IMPORT = new RegExp(`(?:^|\\n)\\s*(?:import|export)\\s+type\\s*${CLAUSE}`, "g");

const problems = problemsIn(root);
for (const { rule, text } of problems) console.error(`${rule}: ${text}`);
const unseen = rehearsal();
for (const text of unseen) console.error(text);
if (problems.length + unseen.length > 0) process.exit(1);
console.log("references: R1 and R2 hold, and each finds the violations planted for it");

function problemsIn(dir) {
  const packages = packagesIn(dir);
  const names = new Map(packages.map(({ folder, json }) => [folder, json.name]));
  const ours = new Set(names.values());
  return packages.flatMap(({ folder, json }) => {
    const where = relative(dir, folder);
    const { references = [], exclude = readJson(join(dir, "tsconfig.base.json")).exclude } = readJson(
      join(folder, "tsconfig.json"),
    );
    const referenced = references.map(({ path }) => names.get(resolve(folder, path)));
    const dependencies = new Set([json.name, ...Object.keys(json.dependencies ?? {})]);
    const found = [];
    for (const name of referenced.filter((one) => one !== undefined && !dependencies.has(one)))
      found.push({ rule: "R2", text: `${where}/tsconfig.json references ${name}, no dependency in its package.json` });
    for (const { file, name, typeOnly } of importsOf(folder, exclude)) {
      if (ours.has(name) && name !== json.name && !referenced.includes(name))
        found.push({
          rule: "R1",
          text: `${where}/${file} imports ${name}, which its tsconfig.json does not reference`,
        });
      if (!typeOnly && !dependencies.has(name))
        found.push({ rule: "R2", text: `${where}/${file} imports ${name}, no dependency in its package.json` });
    }
    return found;
  });
}

function packagesIn(dir) {
  const folders = GROUPS.flatMap((group) =>
    existsSync(join(dir, group)) ? readdirSync(join(dir, group)).map((name) => join(dir, group, name)) : [],
  );
  return [...folders, join(dir, "cli")]
    .filter((folder) => existsSync(join(folder, "tsconfig.json")) && existsSync(join(folder, "package.json")))
    .map((folder) => ({ folder, json: readJson(join(folder, "package.json")) }));
}

/** Each compiled file below src/ with each package that it imports, by the package's name. `exclude`: patterns that end in `*.SUFFIX`. */
function importsOf(folder, exclude) {
  const suffixes = [".d.ts", ...exclude.map((pattern) => pattern.slice(pattern.lastIndexOf("*") + 1))];
  const files = readdirSync(join(folder, "src"), { recursive: true }).filter(
    (file) => file.endsWith(".ts") && !suffixes.some((suffix) => file.endsWith(suffix)),
  );
  return files.flatMap((file) => {
    const text = readFileSync(join(folder, "src", file), "utf8");
    const named = (pattern, typeOnly) =>
      [...text.matchAll(pattern)].map((match) => ({ specifier: match[1] ?? match[2] ?? match[3], typeOnly }));
    return [...named(IMPORT, false), ...named(TYPE_IMPORT, true)]
      .filter(({ specifier }) => /^[@a-z]/.test(specifier) && !isNodes(specifier))
      .map(({ specifier, typeOnly }) => ({ file: `src/${file}`, name: packageName(specifier), typeOnly }));
  });
}

function isNodes(specifier) {
  return specifier.startsWith("node:") || builtinModules.includes(specifier);
}

function packageName(specifier) {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

function readJson(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}

/** What is not found in two packages that have every violation. */
function rehearsal() {
  const dir = mkdtempSync(join(tmpdir(), "tributary-references-"));
  const write = (file, content) => {
    mkdirSync(dirname(join(dir, file)), { recursive: true });
    writeFileSync(join(dir, file), typeof content === "string" ? content : JSON.stringify(content));
  };
  try {
    for (const name of ["kernel", "config", "testing"]) {
      write(`libs/${name}/package.json`, { name: `@tributary/${name}` });
      write(`libs/${name}/tsconfig.json`, {});
      write(`libs/${name}/src/index.ts`, "");
    }
    write("cli/package.json", {
      name: "@tributary/cli",
      dependencies: { "@tributary/kernel": "0.1.0" },
      devDependencies: { "planted-dev": "1.0.0" },
    });
    write("cli/tsconfig.json", { references: [{ path: "../libs/config" }] });
    write("cli/src/main.ts", 'import {\n  a,\n} from "@tributary/kernel";\nimport { b } from "planted-dev";\nb(a);\n');
    write(
      "cli/src/allowed.ts",
      'import type { C } from "planted-dev";\nimport "node:fs";\nexport { d } from "./main.ts";\n',
    );
    write("tsconfig.base.json", { exclude: ["src/**/*.test-kit.ts"] });
    write("cli/src/run.test-kit.ts", 'import "@tributary/testing";\n');
    write("cli/src/run.test.ts", 'import "@tributary/testing";\n'); // not excluded
    const found = problemsIn(dir).map(({ rule, text }) => `${rule}: ${text}`);
    const planted = [
      "R1: cli/src/run.test.ts imports @tributary/testing, which its tsconfig.json does not reference",
      "R2: cli/src/run.test.ts imports @tributary/testing, no dependency in its package.json",
      "R1: cli/src/main.ts imports @tributary/kernel, which its tsconfig.json does not reference",
      "R2: cli/src/main.ts imports planted-dev, no dependency in its package.json",
      "R2: cli/tsconfig.json references @tributary/config, no dependency in its package.json",
    ];
    return [
      ...planted.filter((text) => !found.includes(text)).map((text) => `references: does not find ${text}`),
      ...found.filter((text) => !planted.includes(text)).map((text) => `references: finds what is allowed: ${text}`),
    ];
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
