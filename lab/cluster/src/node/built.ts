/**
 * Programs that no package has: Kubernetes, one binary that is each of its programs by the name it is started as, and the container
 * that holds a pod's namespaces. Built with Go once, for every node of this clone; the file's name has the digest of its sources.
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { Failure } from "@tributary/kernel";
import { repositoryRoot, startProgram } from "@tributary/testing";
import { GO_ADVICE } from "../requirements.ts";
import { programsDir } from "../settings.ts";
import { hasProgram, pathWith, run } from "./commands.ts";
import { PAUSE_IMAGE } from "./programs.ts";

const GO = "/usr/local/go/bin";
/** Of lab/cluster/kube/go.mod; a module has no version of its own. */
const VERSION = "v1.37.2";
const [major, minor] = VERSION.slice(1).split(".");
const LINKED = [
  "-s -w",
  ...Object.entries({ gitVersion: VERSION, gitMajor: major, gitMinor: minor }).map(
    ([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`,
  ),
].join(" ");
const HELM = "3.22.0";
const ROUTER = "2.1.0";
const KUBERNETES = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"];

/** Puts all programs into `bin`, by their names. */
export async function preparePrograms(bin: string, say: (text: string) => void): Promise<void> {
  const sources = join(repositoryRoot, "lab/cluster");
  const kube = await built("kube", join(sources, "kube"), ["go.mod", "go.sum", "main.go"], () =>
    say("building Kubernetes with Go: ten minutes or more, once, and 5 GB of Go's caches"),
  );
  const router = await installed(
    "kube-router",
    ROUTER,
    "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
    say,
  );
  const pause = await built("pause", join(sources, "pause"), ["main.go"], () => {});
  mkdirSync(bin, { recursive: true });
  const links = [...KUBERNETES.map((name) => [name, kube] as const), ["kube-router", router] as const];
  for (const [name, program] of links) {
    rmSync(join(bin, name), { force: true });
    symlinkSync(program, join(bin, name));
  }
  archivePause(pause, join(bin, "pause.tar"));
}

/** The program: the machine's own, or built from Go's module proxy. */
export async function prepareHelm(say: (text: string) => void): Promise<string> {
  return hasProgram("helm") ? "helm" : installed("helm", HELM, "helm.sh/helm/v3/cmd/helm", say);
}

/** A program that its module's authors let anybody install. */
async function installed(name: string, version: string, main: string, say: (text: string) => void): Promise<string> {
  const program = join(programsDir, `${name}-${version}`, name);
  if (existsSync(program)) return program;
  say(`building ${name} with Go, once`);
  const args = ["install", "-trimpath", "-ldflags", "-s -w", `${main}@v${version}`];
  await go(repositoryRoot, args, { GOBIN: dirname(program) });
  return program;
}

async function go(dir: string, args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<void> {
  if (!hasProgram("go") && !existsSync(join(GO, "go"))) throw new Failure("go-missing", "ask-a-person", GO_ADVICE);
  mkdirSync(programsDir, { recursive: true });
  const env = { ...process.env, PATH: pathWith(GO), CGO_ENABLED: "0", GOFLAGS: "-mod=mod", ...more };
  const { code, err } = await startProgram("go", args, { cwd: dir, env }).ended;
  if (code === 0) return;
  throw new Failure("build-failed", "ask-a-person", `go ${args.join(" ")} in ${dir}:\n${err.slice(-4_000)}`);
}

async function built(name: string, dir: string, sources: readonly string[], onBuild: () => void): Promise<string> {
  const digest = createHash("sha256").update(LINKED);
  for (const source of sources) digest.update(readFileSync(join(dir, source)));
  const program = join(programsDir, `${name}-${digest.digest("hex").slice(0, 12)}`);
  if (existsSync(program)) return program;
  onBuild();
  const what = sources.includes("go.mod") ? "." : "main.go";
  await go(dir, ["build", "-trimpath", "-ldflags", LINKED, "-o", `${program}.new`, what]);
  renameSync(`${program}.new`, program);
  return program;
}

/** An image with that one file, as `docker save` writes it. */
function archivePause(program: string, archive: string): void {
  const work = `${archive}.d`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  writeFileSync(join(work, "pause"), readFileSync(program));
  chmodSync(join(work, "pause"), 0o755);
  const tar = (file: string, ...names: string[]) =>
    run("tar", ["--create", "--file", file, "--directory", work, "--owner=0", "--group=0", "--mtime=@0", ...names]);
  tar(join(work, "layer.tar"), "pause");
  const layer = createHash("sha256")
    .update(readFileSync(join(work, "layer.tar")))
    .digest("hex");
  const config = {
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: { Entrypoint: ["/pause"] },
    rootfs: { type: "layers", diff_ids: [`sha256:${layer}`] },
  };
  writeFileSync(join(work, "config.json"), JSON.stringify(config));
  writeFileSync(
    join(work, "manifest.json"),
    JSON.stringify([{ Config: "config.json", RepoTags: [PAUSE_IMAGE], Layers: ["layer.tar"] }]),
  );
  tar(archive, "manifest.json", "config.json", "layer.tar");
  rmSync(work, { recursive: true, force: true });
}
