// Unpacks the archived agents of earlier commits (edge/agent/previous, ADR 26), to run them.
// An archive holds only our compiled code: `dist/**/*.js` and `package.json` of the agent and of the workspace packages it needs,
// at their places in the repository. Dependencies come from the repository's node_modules, in a version that fits the archive's
// package.json. An unpacked agent never resolves to a current package of ours.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { root } from "./bootstrap.mjs";

export const folder = join(root, "edge/agent/previous");
export const list = join(folder, "agents.json");
export const AGENT = "edge/agent";
const OURS = "@tributary";

/** The list of archives, oldest first. */
export const previousAgents = () => JSON.parse(readFileSync(list, "utf8")).agents;

export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** Unpacks an archive of the list into an empty folder; returns its main. Throws when its bytes are not the listed ones or
 * the repository's modules do not suit it. */
export function unpackAgent({ file, sha256: wanted }, dir) {
  const path = join(folder, file);
  const found = sha256(readFileSync(path));
  if (found !== wanted) throw new Error(`${file} has SHA-256 ${found}; ${list} has ${wanted}`);
  mkdirSync(dir, { recursive: true });
  command("tar", ["-xzf", path, "-C", dir]);
  linkModules(dir);
  const problems = moduleProblems(dir);
  if (problems.length > 0) throw new Error(`${file}: ${problems.join("; ")}`);
  return join(dir, AGENT, "dist/main.js");
}

/** Gives a tree in the repository's layout its `node_modules`: its own packages, and the repository's for the rest. */
export function linkModules(dir) {
  const modules = join(dir, "node_modules");
  mkdirSync(join(modules, OURS), { recursive: true });
  for (const { path, name } of packagesIn(dir)) {
    symlinkSync(join(dir, path), join(modules, name));
    const own = join(root, path, "node_modules");
    if (existsSync(own)) symlinkSync(own, join(dir, path, "node_modules"));
  }
  for (const name of readdirSync(join(root, "node_modules"))) {
    if (name === OURS || name.startsWith(".")) continue;
    symlinkSync(join(root, "node_modules", name), join(modules, name));
  }
}

/** Dependencies that are missing, or in a version that does not fit. */
export function moduleProblems(dir) {
  return packagesIn(dir).flatMap(({ path, name, dependencies }) =>
    Object.entries(dependencies).flatMap(([wanted, version]) => {
      const places = [join(dir, path, "node_modules", wanted), join(dir, "node_modules", wanted)];
      const place = places.find((one) => existsSync(join(one, "package.json")));
      if (place === undefined) return [`${name} needs ${wanted} ${version}, which is not installed`];
      const found = JSON.parse(readFileSync(join(place, "package.json"), "utf8")).version;
      return isCompatible(version, found) ? [] : [`${name} needs ${wanted} ${version}; ${found} is installed`];
    }),
  );
}

/** Workspace packages of a tree: where they are, and what they need. */
export function packagesIn(dir, at = "") {
  const here = join(dir, at);
  if (existsSync(join(here, "package.json")) && at !== "") {
    const { name, version, dependencies = {} } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
    return [{ path: at, name, version, dependencies }];
  }
  return readdirSync(here, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== "node_modules")
    .flatMap((entry) => packagesIn(dir, join(at, entry.name)))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Runs a program to its end; throws with its output when it fails. Returns its standard output. */
export function command(name, args, options = {}) {
  const { status, error, stdout, stderr } = spawnSync(name, args, { maxBuffer: 256 << 20, ...options });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${name} ${args.join(" ")} ended with ${status}\n${stdout}${stderr}`);
  return stdout;
}

/** By the rules of semantic versioning: as a caret would allow, or an older one of the same line. */
function isCompatible(wanted, found) {
  const line = (version) => {
    const [major, minor] = version.replace(/^[^\d]*/, "").split(".");
    return major === "0" ? `0.${minor}` : major;
  };
  return line(wanted) === line(found);
}
