// npm's part of the Dockerfile: installs what some packages of this repository need, and nothing else.
//   node modules.mjs compile                   typescript, and everything that is imported
//   node modules.mjs run @tributary/NAME...    what these programs need at run time
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

const COMPILER = ["typescript", "@types/node"];
/** No program reads them; they are half of all files. */
const NOT_READ = /\.(d\.[cm]?ts|[cm]?ts|map|md|markdown)$|^(CHANGELOG|HISTORY)$/i;
/** The same of folders: tests, documents, C headers, and builds for bundlers. */
const FOLDERS_NOT_READ = ["test", "tests", "docs", "examples", "benchmarks", "include", "dist-es"];

const [mode, ...workspaces] = process.argv.slice(2);
if (mode === "compile") {
  keepDevDependencies(COMPILER);
  npm("ci");
} else if (mode === "run" && workspaces.length > 0) {
  // npm takes a package of ours that another one needs for its tests for one that it needs at run time.
  keepDevDependencies([]);
  npm("ci", "--omit=dev", ...workspaces.map((name) => `--workspace=${name}`));
  removeUnread("node_modules");
  removeOtherPlatforms();
} else {
  console.error("node modules.mjs compile | run @tributary/NAME...");
  process.exit(2);
}

function npm(...args) {
  execFileSync("npm", [...args, "--no-audit", "--no-fund", "--loglevel=error"], { stdio: "inherit" });
}

/** Leaves no other development dependency in a manifest, nor in the lock file, which npm compares with them. */
function keepDevDependencies(names) {
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
  const ours = Object.keys(lock.packages).filter(
    (path) => !path.includes("node_modules") && existsSync(join(path, "package.json")),
  );
  for (const path of ours) {
    const file = join(path, "package.json");
    const json = JSON.parse(readFileSync(file, "utf8"));
    for (const part of [json, lock.packages[path]])
      part.devDependencies = Object.fromEntries(
        Object.entries(part.devDependencies ?? {}).filter(([name]) => names.includes(name)),
      );
    writeFileSync(file, JSON.stringify(json));
  }
  writeFileSync("package-lock.json", JSON.stringify(lock));
}

function removeUnread(dir) {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    const isPackage = basename(dir) === "node_modules";
    if (entry.isDirectory() && !isPackage && FOLDERS_NOT_READ.includes(entry.name)) rmSync(path, { recursive: true });
    else if (entry.isDirectory()) removeUnread(path);
    else if (entry.isFile() && NOT_READ.test(entry.name)) rmSync(path);
  }
}

/** ONNX Runtime's package has the libraries of every platform. */
function removeOtherPlatforms() {
  const dir = "node_modules/onnxruntime-node/bin";
  for (const version of list(dir))
    for (const platform of list(join(dir, version)))
      for (const arch of list(join(dir, version, platform)))
        if (platform !== process.platform || arch !== process.arch)
          rmSync(join(dir, version, platform, arch), { recursive: true });
}

function list(dir) {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (error.code === "ENOENT") return [];
    throw error;
  }
}
