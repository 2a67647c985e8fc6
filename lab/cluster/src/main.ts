#!/usr/bin/env node
/** `npm run cluster -- up`, `demo`, `down`: progress on standard error, results on standard output. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { Failure, reasonOf } from "@tributary/kernel";
import { repositoryRoot } from "@tributary/testing";
import { Command, InvalidArgumentError } from "commander";
import { buildImages, saveImages, TARGETS } from "../../../tools/images/images.mjs";
import { runDemo } from "./demo/demo.ts";
import { checksOf, pageOf } from "./demo/page.ts";
import { prepareHelm } from "./node/built.ts";
import { endNode, enter, environmentOf, loadImages, type Node, runningNode, startNode } from "./node/node.ts";
import { ALLOCATABLE, clusterDir } from "./settings.ts";

const whole = (text: string): number => {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("expected a whole number from 1");
};

const stopping = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => stopping.abort(new Failure("cluster-stopped", "give-up", "stopped")));
}
const startedMs = performance.now();
const say = (line: string): void =>
  void process.stderr.write(`${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(6)} s  ${line}\n`);

const program = new Command("cluster")
  .description("A real Kubernetes node on this machine, in namespaces of its own: nothing of it is left when it ends.")
  .showHelpAfterError()
  .enablePositionalOptions()
  .addHelpText("after", helpOf());
program
  .command("up")
  .description("start the node; it runs until `down`")
  .action(async () => {
    const node = await startNode(clusterDir, say, stopping.signal);
    process.stdout.write(usesOf(node));
  });
program
  .command("down")
  .description("end the node and everything on it; images stay for the next")
  .action(async () => {
    process.stdout.write((await endNode(clusterDir)) ? "the node has ended\n" : "no node runs\n");
  });
program
  .command("demo")
  .description(
    "install the chart, connect devices from outside, disturb everything once, and count the frames; then end the node",
  )
  .option("--devices <N>", "agents on this machine", whole, 20)
  .option("--frames <N>", "of all cameras together", whole, 2_000)
  .option("--seconds <N>", "how long cameras take for them", whole, 600)
  .option("--images <ARCHIVE>", "the images, as `docker save` writes them; built from the Dockerfile by default")
  .action(demo);
program
  .command("load <ARCHIVE>")
  .description("give the node images, as `docker save` writes them")
  .action((archive: string) => loadImages(runningNode(clusterDir), archive));
program
  .command("kubectl [ARGUMENTS...]")
  .description("Kubernetes' own kubectl, of the node's version")
  .helpOption(false)
  .allowUnknownOption()
  .passThroughOptions()
  .action((args: string[]) => handOver(["kubectl", ...args], environmentOf(runningNode(clusterDir))));
program
  .command("exec <COMMAND...>")
  .description("run a command on the node, where services have names: exec ctr -n k8s.io images ls")
  .helpOption(false)
  .allowUnknownOption()
  .passThroughOptions()
  .action((command: string[]) => {
    const node = runningNode(clusterDir);
    return handOver([...enter(node), ...command], environmentOf(node));
  });
program.action(() => program.help({ error: true }));

await program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`cluster: ${reasonOf(error)}\n`);
  process.exitCode = stopping.signal.aborted ? 130 : 1;
});
process.exit();

type DemoFlags = {
  readonly devices: number;
  readonly frames: number;
  readonly seconds: number;
  readonly images?: string;
};

async function demo({ images, ...flags }: DemoFlags): Promise<void> {
  const helm = await prepareHelm(say);
  const archive = images ?? (await builtImages());
  const node = await startNode(clusterDir, say, stopping.signal);
  try {
    say("importing the images");
    loadImages(node, archive);
    const result = await runDemo(node, { ...flags, helm }, say, stopping.signal);
    process.stdout.write(pageOf(result, flags.frames));
    if (!checksOf(result, flags.frames).every(({ holds }) => holds)) process.exitCode = 1;
  } finally {
    await endNode(clusterDir);
  }
}

async function builtImages(): Promise<string> {
  const archive = join(repositoryRoot, ".local/images/cluster.tar");
  const targets = TARGETS.filter((target) => target !== "agent");
  say("building the images");
  await buildImages({ targets, log: say });
  await saveImages(archive, { targets });
  return archive;
}

/** With this program's terminal, and its exit code. */
function handOver([command = "", ...args]: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn(command, args, { stdio: "inherit", env, cwd: process.env.INIT_CWD });
  stopping.signal.addEventListener("abort", () => child.kill("SIGTERM"));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => {
      process.exitCode = code ?? 1;
      resolve();
    });
  });
}

function usesOf({ layout, state }: Node): string {
  return `The node has the address ${state.link.node}; services of type LoadBalancer have their ports there.

  export KUBECONFIG=${layout.kubeconfig}
  kubectl get nodes
  npm run cluster -- exec bash      on the node, where services have names
  npm run cluster -- down
`;
}

function helpOf(): string {
  return `
The node has ${ALLOCATABLE.cores} cores and ${ALLOCATABLE.memoryMib} MiB that pods may request, a default storage class, and load balancers at its own address.
It needs Linux and root, Debian's containerd, runc, etcd-server and containernetworking-plugins, and, once, Go to build Kubernetes.`;
}
