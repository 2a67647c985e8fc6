// node tools/pack-agent.mjs COMMIT: archives the agent of a commit in edge/agent/previous, which the end-to-end
// tests run with the current services (ADR 26). The commit is built in a temporary folder with the installed dependencies;
// the same commit and compiler give the same bytes. Needs git and GNU tar.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { exitOnError, root } from "./bootstrap.mjs";
import {
  AGENT,
  command,
  folder,
  linkModules,
  list,
  moduleProblems,
  packagesIn,
  previousAgents,
  sha256,
} from "./previous-agents.mjs";

const NAMED_BY = 7;
const BYTES_MAX = 500_000;

async function main([commitish, ...more]) {
  if (commitish === undefined || more.length > 0) throw new Error("usage: node tools/pack-agent.mjs COMMIT");
  const git = (...args) => command("git", args, { cwd: root });
  const commit = git("rev-parse", "--verify", `${commitish}^{commit}`).toString().trim();
  const dir = mkdtempSync(join(tmpdir(), "tributary-pack-agent-"));
  try {
    // Not a worktree: nothing is left in .git, whatever happens here.
    const tree = git("archive", commit, AGENT, "libs", "tsconfig.base.json");
    command("tar", ["-x", "-C", dir], { input: tree });
    linkModules(dir);
    const problems = moduleProblems(dir);
    if (problems.length > 0) throw new Error(`the installed dependencies do not fit: ${problems.join("; ")}`);
    command(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-b", AGENT], { cwd: dir });

    const agent = packagesIn(dir).find(({ path }) => path === AGENT);
    const bytes = packed(dir, neededBy(agent, packagesIn(dir)));
    if (bytes.length > BYTES_MAX) throw new Error(`${bytes.length} bytes; the limit is ${BYTES_MAX}`);
    const file = `agent-${agent.version}+${commit.slice(0, NAMED_BY)}.tgz`;
    writeFileSync(join(folder, file), bytes);
    const others = previousAgents();
    const known = others.find((one) => one.file === file);
    const entry = { ...known, file, version: agent.version, commit, sha256: sha256(bytes) };
    const agents = known === undefined ? [...others, entry] : others.map((one) => (one === known ? entry : one));
    writeFileSync(list, JSON.stringify({ agents }));
    command(process.execPath, [join(root, "node_modules/@biomejs/biome/bin/biome"), "format", "--write", list]);
    console.log(`${file}: ${bytes.length} bytes, SHA-256 ${entry.sha256}`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The package and those of ours that it needs, by path. */
function neededBy(start, packages) {
  const needed = new Map([[start.name, start]]);
  for (const { dependencies } of needed.values()) {
    for (const one of packages.filter(({ name }) => dependencies[name] !== undefined)) needed.set(one.name, one);
  }
  return [...needed.values()].map(({ path }) => path).sort();
}

/** A tar with only names and bytes, so that it is reproducible. */
function packed(dir, paths) {
  const files = paths.flatMap((path) => {
    const found = command("find", [join(path, "dist"), "-type", "f", "-name", "*.js", "-not", "-path", "*/testing/*"], {
      cwd: dir,
    });
    return [join(path, "package.json"), ...found.toString().split("\n").filter(Boolean)];
  });
  const plain = ["--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "--mode=u=rw,go=r", "--format=ustar"];
  const input = `${files.sort().join("\n")}\n`;
  return gzipSync(command("tar", ["-c", ...plain, "-C", dir, "-T", "-"], { input }), { level: 9 });
}

main(process.argv.slice(2)).catch(exitOnError);
