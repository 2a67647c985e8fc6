// npm's part of the Dockerfile: what programs are built with, and the files of packages that they then read.
//   node modules.mjs compile                     installs the compiler, and everything that is imported
//   node modules.mjs keep FOLDER PROGRAM...      copies into FOLDER what these folders of compiled programs read of node_modules
// Files are found by following imports (@vercel/nft), which leaves most files of an installation out. They have one
// and the same time: an image's layer of packages changes only with the packages.
import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  globSync,
  lutimesSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";

const BUILT_WITH = ["typescript", "@types/node", "@vercel/nft"];
/** Terms under which a package is passed on. */
const TERMS = /^(licen[cs]e|notice|copying)/i;

const [mode, ...rest] = process.argv.slice(2);
const [folder, ...programs] = rest;
if (mode === "compile") {
  keepDevDependencies(BUILT_WITH);
  npm("ci");
  removeOtherPlatforms();
} else if (mode === "keep" && programs.length > 0) {
  const files = await filesOfPackages(programs);
  for (const file of files) cpSync(file, join(folder, file), { verbatimSymlinks: true, recursive: true });
  for (const path of globSync(`${folder}/**`)) lutimesSync(path, 0, 0);
  console.log(`${programs.join(", ")}: ${files.length} files of packages`);
} else {
  console.error("node modules.mjs compile | keep FOLDER PROGRAM...");
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

/** ONNX Runtime's package has the libraries of every platform. */
function removeOtherPlatforms() {
  for (const path of globSync("node_modules/onnxruntime-node/bin/*/*/*"))
    if (!path.endsWith(join(process.platform, process.arch))) rmSync(path, { recursive: true });
}

async function filesOfPackages(programs) {
  const { nodeFileTrace } = await import("@vercel/nft");
  const cache = {};
  const entries = new Set(programs.flatMap((program) => globSync(`${program}/dist/**/*.js`)));
  let reached;
  // A process of its own is started by its file's address: nothing imports that file.
  for (let before = -1; before < entries.size; ) {
    before = entries.size;
    reached = (await nodeFileTrace([...entries], { base: process.cwd(), cache })).fileList;
    for (const file of reached) for (const started of programsStartedBy(file)) entries.add(started);
  }
  const kept = [...reached].filter((file) => /(^|\/)node_modules\//.test(file));
  const packages = new Set(kept.filter((file) => statSync(file).isFile()).map(packageOf));
  const terms = [...packages].flatMap((dir) =>
    readdirSync(dir)
      .filter((name) => TERMS.test(name))
      .map((name) => join(dir, name)),
  );
  return [...new Set([...kept, ...terms])].sort();
}

function programsStartedBy(file) {
  if (file.includes("node_modules/") || !file.endsWith(".js")) return [];
  return [...readFileSync(file, "utf8").matchAll(/new URL\([^)]*?"([^"]+\.js)", import\.meta\.url\)/g)]
    .map(([, path]) => relative(".", join(dirname(file), path)))
    .filter((path) => existsSync(path));
}

function packageOf(file) {
  return /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)[0];
}
