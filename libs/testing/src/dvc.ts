/** DVC itself, in a git repository of its own whose remote is a folder in DVC's layout. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { python } from "../../../tools/peers.mjs";
import { startProgram } from "./process.ts";

export type Dvc = {
  readonly repository: string;
  /** What it writes to standard output. */
  dvc(...args: readonly string[]): Promise<string>;
  git(...args: readonly string[]): Promise<string>;
};

/** `dir` must not exist. Installs DVC where it is missing (tools/peers.mjs). */
export async function openDvc(dir: string, remote: string): Promise<Dvc> {
  const program = python("dvc");
  const repository = join(dir, "repository");
  mkdirSync(repository, { recursive: true });
  const config = join(dir, "gitconfig");
  writeFileSync(config, "[user]\n  name = Ada\n  email = ada@example.org\n");
  const env = {
    HOME: dir,
    DVC_NO_ANALYTICS: "true",
    DVC_SITE_CACHE_DIR: join(dir, "site"),
    GIT_CONFIG_GLOBAL: config,
  };
  const run = async (name: string, args: readonly string[]) => {
    const { code, out, err } = await startProgram(name, args, { cwd: repository, env }).ended;
    if (code !== 0) throw new Error(`${name} ${args.join(" ")} ended with ${code}: ${err.slice(-2_000)}`);
    return out;
  };
  const git = (...args: readonly string[]) => run("git", args);
  const dvc = (...args: readonly string[]) => run(program, ["-m", "dvc", ...args]);
  await git("init", "--quiet");
  await dvc("init", "--quiet");
  await dvc("remote", "add", "--quiet", "--default", "tributary", remote);
  return { repository, dvc, git };
}
