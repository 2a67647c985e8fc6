#!/usr/bin/env node
/**
 * Makes a Kubernetes node of the namespaces that it is started in (supervise.ts), and is its log: a line a step, with the seconds since the
 * start. It ends when one of the node's programs does, with the end of that program's log; then everything in the namespaces ends.
 *
 * Nothing of this machine is changed: what is written outside the node's folder is under mounts of the node's own, its addresses are of
 * its own network namespace, and settings of the kernel that the kubelet would change for the whole machine are files here.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { Failure, reasonOf, systemClock } from "@tributary/kernel";
import { startAddons } from "../addons/start.ts";
import { reservationOf } from "../requirements.ts";
import { ALLOCATABLE, KUBELET_PORT, layoutOf, NODE_NAME } from "../settings.ts";
import { pathWith, run, succeeds } from "./commands.ts";
import { ETCD, filesOf, kubeconfigOf, type NodeOptions, type NodeProgram, programsOf } from "./programs.ts";
import { readState, writeState } from "./state.ts";

const startedAt = performance.now();
const say = (text: string): void =>
  void process.stdout.write(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`);

/** Settings that the kubelet sets for the whole machine, if it may. */
const KERNEL_SETTINGS = ["vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"];
const LOG_LINES_MAX = 15;

async function main(dir: string): Promise<void> {
  const layout = layoutOf(dir);
  const state = readState(layout);
  if (state === undefined)
    throw new Failure("node-not-supervised", "give-up", `${dir} has no state: start it by \`up\``);
  const { node, host, device } = state.link;
  const machine = { cores: cpus().length, memoryKib: totalmem() / 1_024 };
  const token = randomBytes(24).toString("hex");
  const options: NodeOptions = {
    layout,
    address: node,
    group: state.group,
    reservation: reservationOf(machine, ALLOCATABLE),
    token,
  };
  for (const [name, text] of Object.entries(filesOf(options))) write(join(layout.run, name), text);
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2_048 });
  write(join(layout.run, "api/accounts.key"), privateKey.export({ type: "pkcs1", format: "pem" }));
  mountOwn(layout.run);
  joinNetwork(`${device}n`, node, host);

  const path = pathWith(layout.bin);
  const start = starter(layout.logs, path);
  const programs = programsOf(options);
  start(programs.etcd);
  start(programs.containerd);
  await until("etcd", async () => (await fetch(`${ETCD}/health`)).ok);
  start(programs.apiServer);
  const authority = join(layout.run, "api/apiserver.crt");
  await until("certificates", () => existsSync(authority));
  write(layout.kubeconfig, JSON.stringify(kubeconfigOf(node, token, readFileSync(authority)), null, 2));
  const kubectl = (...args: string[]) => succeeds("kubectl", ["--kubeconfig", layout.kubeconfig, ...args], { path });
  await until("containerd", () => succeeds("ctr", ["version"], { path }));
  forgetContainers(path);
  importPause(layout.bin, path);
  await until("API server", () => kubectl("get", "--raw", "/readyz"));
  start(programs.controllers);
  start(programs.scheduler);
  await startAddons({ kubeconfig: layout.kubeconfig, address: node, volumesDir: join(layout.run, "volumes") }, say);
  start(programs.kubelet);
  start(programs.proxy);
  await until("node registered", () => kubectl("get", `node/${NODE_NAME}`));
  start(programs.policies);
  await until("node Ready", () => kubectl("wait", "--for=condition=Ready", `node/${NODE_NAME}`, "--timeout=1s"));
  writeState(layout, { ...state, ...readState(layout), isReady: true });
}

function write(file: string, content: string | Buffer): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content, { mode: 0o600 });
}

/** What the node's programs write outside of its folder ends with the node. */
function mountOwn(folder: string): void {
  run("mount", ["--make-rshared", "/"]);
  const resolver = realpathSync("/etc/resolv.conf");
  const own = join(folder, "own");
  mkdirSync(own, { recursive: true });
  run("mount", ["-t", "tmpfs", "tmpfs", own]);
  mkdirSync(join(folder, "etcd"), { recursive: true });
  for (const name of ["upper", "work", "etcd", "log"]) mkdirSync(join(own, name));
  run("mount", ["--bind", join(own, "etcd"), join(folder, "etcd")]);
  const layers = `lowerdir=/var/lib,upperdir=${own}/upper,workdir=${own}/work`;
  run("mount", ["-t", "overlay", "overlay", "-o", layers, "/var/lib"]);
  run("mount", ["-t", "tmpfs", "tmpfs", "/run"]);
  const logs = join(folder, "log");
  mkdirSync(logs, { recursive: true });
  run("mount", ["--bind", logs, "/var/log"]);
  if (!existsSync(resolver)) write(resolver, "");
  run("mount", ["--bind", join(folder, "resolv.conf"), resolver]);
  for (const setting of KERNEL_SETTINGS) {
    const file = join(folder, "kernel", setting.replace("/", "."));
    write(file, readFileSync(`/proc/sys/${setting}`));
    run("mount", ["--bind", file, `/proc/sys/${setting}`]);
  }
}

function joinNetwork(device: string, address: string, gateway: string): void {
  run("hostname", [NODE_NAME]);
  run("ip", ["link", "set", "lo", "up"]);
  run("ip", ["link", "set", device, "name", "eth0"]);
  run("ip", ["address", "add", `${address}/30`, "dev", "eth0"]);
  run("ip", ["link", "set", "eth0", "up"]);
  run("ip", ["route", "add", "default", "via", gateway]);
  run("sysctl", ["-qw", "net.ipv4.ip_forward=1"]);
  succeeds("sysctl", ["-qw", "net.bridge.bridge-nf-call-iptables=1"]);
  const kubelet = ["-p", "tcp", "--dport", String(KUBELET_PORT)];
  run("iptables", ["-A", "INPUT", "-i", "eth0", ...kubelet, "-j", "DROP"]);
}

/** Starts programs that must not end: if one does, so does this. */
function starter(logs: string, path: string): (program: NodeProgram) => ChildProcess {
  mkdirSync(logs, { recursive: true });
  return ({ name, command, args }) => {
    const file = join(logs, `${name}.log`);
    const log = openSync(file, "w");
    const child = spawn(command, args, { stdio: ["ignore", log, log], env: { ...process.env, PATH: path, NODE_NAME } });
    closeSync(log);
    const onEnd = (how: unknown) => {
      const end = readFileSync(file, "utf8").trimEnd().split("\n").slice(-LOG_LINES_MAX).join("\n");
      process.stdout.write(`${name} ended (${how}):\n${end}\n`);
      process.exit(1);
    };
    child.once("error", (error) => onEnd(error.message));
    child.once("exit", (code, signal) => onEnd(code ?? signal));
    return child;
  };
}

const STEP_MS_MAX = 300_000;
async function until(what: string, isDone: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + STEP_MS_MAX;
  while (!(await Promise.resolve(isDone()).catch(() => false))) {
    if (performance.now() > end)
      throw new Failure("node-not-ready", "give-up", `${what}: not within ${STEP_MS_MAX} ms`);
    await systemClock.sleep(250);
  }
  say(what);
}

/** The folder of images may hold containers of an earlier node. */
function forgetContainers(path: string): void {
  const ctr = (...args: string[]) => run("ctr", ["--namespace", "k8s.io", ...args], { path });
  const left = ctr("containers", "ls", "-q").split("\n").filter(Boolean);
  if (left.length > 0) ctr("containers", "rm", ...left);
}

function importPause(bin: string, path: string): void {
  run("ctr", ["--namespace", "k8s.io", "images", "import", join(bin, "pause.tar")], { path });
}

await main(process.argv[2] ?? "").catch((error: unknown) => {
  process.stdout.write(`${reasonOf(error)}\n`);
  process.exit(1);
});
