#!/usr/bin/env node
/**
 * `npm run containers -- k3s|compose`: progress on standard error, a table on standard output, exit 1 when something does not hold.
 * Builds the images, then runs itself again in namespaces of its own, whose end ends every container and every mount.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { exitFlags, reasonOf, systemClock } from "@tributary/kernel";
import { repositoryRoot } from "@tributary/testing";
import { Command, InvalidArgumentError } from "commander";
import { buildImages, storageEnv, TAG } from "../../../tools/images/images.mjs";
import { type Outcome, type PlayOptions, play } from "./play.ts";
import { reportOf } from "./report.ts";

type Flags = {
  readonly devices: number;
  readonly frames: number;
  readonly seconds: number;
  readonly file?: string;
  readonly build: boolean;
  readonly json?: string;
};
type Settings = Omit<PlayOptions, "log">;

const INSIDE = "TRIBUTARY_CONTAINERS_INSIDE";
const CGROUPS = "/sys/fs/cgroup";
const runDir = join(repositoryRoot, ".local/images/run");
const startedMs = systemClock.monotonicMs();
const log = (line: string) =>
  void process.stderr.write(`${((systemClock.monotonicMs() - startedMs) / 1_000).toFixed(1).padStart(6)} s  ${line}\n`);

const whole = (text: string): number => {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("expected a whole number from 1");
};

const settings = process.env[INSIDE];
if (settings === undefined) await outside();
else await inside(JSON.parse(settings) as Settings);

async function inside(options: Settings): Promise<void> {
  const outcome = await play({ ...options, log });
  writeFileSync(join(options.dir, "outcome.json"), JSON.stringify(outcome));
  process.exit(0);
}

async function outside(): Promise<void> {
  const program = new Command("containers")
    .description("Runs what ships, in containers of its images, with devices outside: no frame may be lost.")
    .showHelpAfterError();
  const kinds = [
    ["k3s", "what `kubectl apply -k k8s/k3s` applies", "kubernetes"],
    ["compose", "docker-compose.yml, without Prometheus and Grafana", "compose"],
  ] as const;
  for (const [name, summary, as] of kinds)
    program
      .command(name)
      .description(summary)
      .option("--devices <N>", "agents outside", whole, 2)
      .option("--frames <N>", "that their cameras show together", whole, 200)
      .option("--seconds <N>", "for all to become ready", whole, 240)
      .option("--file <FILE>", "other manifests, or another file of Compose")
      .option("--no-build", "take the images as they are")
      .option("--json <FILE>", "also write the results as JSON")
      .action((flags: Flags) => contained(name, as, flags));
  program.action(() => program.help({ error: true }));
  await program.parseAsync().catch((error: unknown) => {
    process.stderr.write(`containers: ${reasonOf(error)}\n`);
    process.exitCode = 1;
  });
}

async function contained(name: string, as: PlayOptions["as"], flags: Flags): Promise<void> {
  const images = flags.build ? await buildImages({ log }) : [];
  rmSync(runDir, { recursive: true, force: true });
  const dir = join(runDir, "work");
  mkdirSync(dir, { recursive: true });
  const file = flags.file === undefined ? rendered(as, dir) : resolve(process.env.INIT_CWD ?? ".", flags.file);
  const cgroup = `/tributary-containers-${process.pid}`;
  const { devices, frames } = flags;
  const readyMsMax = flags.seconds * 1_000;
  const outcome = await inNamespaces({ file, as, devices, frames, tag: TAG, dir, cgroup, readyMsMax });
  process.stdout.write(reportOf(name, outcome, images));
  if (flags.json !== undefined)
    writeFileSync(
      resolve(process.env.INIT_CWD ?? ".", flags.json),
      `${JSON.stringify({ images, ...outcome }, null, 2)}\n`,
    );
  rmSync(runDir, { recursive: true, force: true });
  if (outcome.problems.length > 0) process.exitCode = 1;
}

function rendered(as: PlayOptions["as"], dir: string): string {
  if (as === "compose") return join(repositoryRoot, "docker-compose.yml");
  const file = join(dir, "k3s.yaml");
  writeFileSync(file, execFileSync("kubectl", ["kustomize", join(repositoryRoot, "k8s/k3s")]));
  return file;
}

/** Ends all of it when this process is asked to end: unshare itself ignores that, and its end ends its namespaces. */
async function inNamespaces(options: Settings): Promise<Outcome> {
  // A private /run: what podman, runc and iptables keep there is of these namespaces.
  const script = 'mount -t tmpfs tmpfs /run && exec "$@"';
  const command = [process.execPath, ...exitFlags, import.meta.filename];
  const args = [
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "sh",
    "-c",
    script,
    "sh",
    ...command,
  ];
  const env = { ...storageEnv(runDir), [INSIDE]: JSON.stringify(options) };
  // Not in the repository: what watches a container writes a file where it was started when memory runs out.
  const child = spawn("unshare", args, { cwd: options.dir, env, stdio: ["ignore", "ignore", "inherit"] });
  for (const [signal, code] of [["SIGINT", 130] as const, ["SIGTERM", 143] as const, ["SIGHUP", 129] as const])
    process.once(signal, () => {
      child.kill("SIGKILL");
      tidy(options.cgroup);
      process.exit(code);
    });
  const code = await ended(child);
  tidy(options.cgroup);
  const file = join(options.dir, "outcome.json");
  if (!existsSync(file)) throw new Error(`the containers' process ended with ${code} and no result`);
  return JSON.parse(readFileSync(file, "utf8")) as Outcome;
}

function ended(child: ChildProcess): Promise<number | string | null> {
  return new Promise((done, fail) => {
    child.once("error", fail);
    child.once("close", (code, signal) => done(code ?? signal));
  });
}

/** The containers' cgroups, in each hierarchy; their processes have ended. */
function tidy(cgroup: string): void {
  const hierarchies = existsSync(join(CGROUPS, "cgroup.controllers"))
    ? [CGROUPS]
    : readdirSync(CGROUPS).map((name) => join(CGROUPS, name));
  for (const hierarchy of hierarchies) removeGroup(join(hierarchy, cgroup));
}

function removeGroup(dir: string): void {
  if (!existsSync(dir)) return;
  for (const entry of readdirSync(dir, { withFileTypes: true }))
    if (entry.isDirectory()) removeGroup(join(dir, entry.name));
  try {
    rmdirSync(dir);
  } catch {
    // A process in it has not ended yet; an empty group costs nothing.
  }
}
