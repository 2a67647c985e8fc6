/**
 * What is shipped, run as it is deployed: a rendering of the manifests, or docker-compose.yml, in containers of its images, with devices outside that
 * send frames. The verifier compares what their cameras showed with what Kafka holds. Runs inside of network, mount and process namespaces of its
 * own (main.ts), in which names of services are in /etc/hosts.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { KafkaReader } from "@tributary/kafka";
import { reasonOf } from "@tributary/kernel";
import { marksOf, untilAnswered, verify } from "@tributary/stack";
import { repositoryRoot } from "@tributary/testing";
import { parse, parseAllDocuments } from "yaml";
import { type ComposeFile, composeWorkloads } from "./compose.ts";
import { outsideDevices } from "./devices.ts";
import { type KubernetesObject, kubernetesWorkloads } from "./kubernetes.ts";
import { Podman, qualifiedImage } from "./podman.ts";
import { Runner } from "./runner.ts";
import type { Parsed } from "./workload.ts";

export type PlayOptions = {
  /** Rendered manifests, or a file of Compose. */
  readonly file: string;
  readonly as: "kubernetes" | "compose";
  readonly devices: number;
  readonly frames: number;
  readonly tag: string;
  /** For all that is written; empty. */
  readonly dir: string;
  readonly cgroup: string;
  readonly readyMsMax: number;
  readonly log: (line: string) => void;
};

export type Row = {
  readonly name: string;
  readonly readySeconds: number | null;
  readonly restarts: number;
  readonly memoryMiB: number | null;
};
export type Outcome = {
  readonly rows: readonly Row[];
  readonly frames: number;
  readonly lost: number;
  readonly duplicates: number;
  readonly cloudAnswers: number;
  readonly problems: readonly string[];
};

const NETWORK = "tributary";
const PREFIX = "tributary.";
const USER = /^[1-9]\d*(:[1-9]\d*)?$/;
/** Others' programs, of which there is no image without an image registry. */
const OTHERS = ["prometheus", "grafana"];
const SILENCE_MS_MAX = 90_000;

export async function play(options: PlayOptions): Promise<Outcome> {
  const { log, dir } = options;
  const podman = new Podman(process.env);
  const runner = new Runner({ podman, network: NETWORK, cgroup: options.cgroup, dir: join(dir, "mounts"), log });
  execFileSync("ip", ["link", "set", "lo", "up"]);
  mkdirSync(join(dir, "mounts"), { recursive: true });
  await removeLeftovers(podman);
  await podman.try("network", "create", NETWORK);
  const token = randomBytes(24).toString("hex");
  const parsed = await (options.as === "compose" ? compose(options, token) : kubernetes(options, token, podman));
  const problems = [...parsed.problems, ...(await imageProblems(podman, parsed))];
  let verified = { frames: 0, lost: 0, duplicates: 0, cloudAnswers: 0 };
  let started: Awaited<ReturnType<Runner["start"]>> | undefined;
  try {
    started = await runner.start(parsed.workloads, options.readyMsMax);
    if (started.problems.length === 0 && problems.length === 0) verified = await send(options, runner, token);
  } catch (error) {
    problems.push(reasonOf(error));
  }
  const memory = await runner.stop();
  problems.push(...runner.problems);
  const rows = parsed.workloads.map(({ name }) => ({
    name,
    readySeconds: started?.readyAfter.get(name) ?? null,
    restarts: started?.restarts.get(name) ?? 0,
    memoryMiB: memory.get(name) ?? null,
  }));
  if (verified.lost + verified.duplicates > 0)
    problems.push(
      `of ${verified.frames} frames ${verified.lost} were lost, ${verified.duplicates} were answered twice`,
    );
  return { rows, ...verified, problems };
}

/** Of runs that were killed: their images' store still has their containers' names. */
async function removeLeftovers(podman: Podman): Promise<void> {
  const left = (await podman.run("ps", "--all", "--external", "--quiet")).split("\n").filter((id) => id !== "");
  if (left.length > 0) await podman.try("rm", "--force", "--time", "0", ...left);
}

/** The guide's secrets, made by the image of `tributary`. */
async function kubernetes({ file, tag, dir, cgroup }: PlayOptions, token: string, podman: Podman): Promise<Parsed> {
  const registry = join(dir, "registry");
  for (const folder of [registry, join(dir, "root-keys")]) mkdirSync(folder, { recursive: true });
  await podman.run(
    ...["run", "--rm", "--pull=never", "--network=none", "--user=0:0", "--cgroup-parent", cgroup],
    ...["--ulimit=nofile=20000:20000", "--ulimit=nproc=4096:4096"],
    ...["--volume", `${registry}:/registry`, "--volume", `${join(dir, "root-keys")}:/root-keys`],
    ...[qualifiedImage(`tributary/tools:${tag}`), "models", "keys", "init", "/registry", "--offline", "/root-keys"],
  );
  const online = join(registry, "keys/online");
  const keys = [...readdirSync(online).map((name) => join(online, name)), join(registry, "metadata/1.root.json")];
  const secret = (name: string, data: Readonly<Record<string, Buffer>>): KubernetesObject => ({
    kind: "Secret",
    metadata: { name },
    data: Object.fromEntries(Object.entries(data).map(([key, bytes]) => [key, bytes.toString("base64")])),
  });
  const files = Object.fromEntries(keys.map((path) => [path.split("/").at(-1) ?? path, readFileSync(path)]));
  const objects = parseAllDocuments(readFileSync(file, "utf8")).map((document) => document.toJS() as KubernetesObject);
  return kubernetesWorkloads([
    ...objects.filter((object) => object !== null),
    secret("gateway", { token: Buffer.from(token) }),
    secret("model-registry-keys", files),
  ]);
}

async function compose({ file, tag }: PlayOptions, token: string): Promise<Parsed> {
  const env = { TRIBUTARY_TOKEN: token };
  const parsed = parse(readFileSync(file, "utf8"), { merge: true }) as ComposeFile;
  return composeWorkloads(parsed, { dir: repositoryRoot, env, tag, without: OTHERS });
}

/** A kubelet refuses an image that runs as root, or as a user without a number, where `runAsNonRoot` is set. */
async function imageProblems(podman: Podman, { workloads }: Parsed): Promise<readonly string[]> {
  const images = [...new Set(workloads.map(({ image }) => qualifiedImage(image)))];
  const found = await Promise.all(
    images.map(async (image) => {
      const { code, stdout } = await podman.try("image", "inspect", "--format={{.Config.User}}", image);
      if (code !== 0) return [`there is no image ${image}`];
      const user = stdout.trim();
      return USER.test(user)
        ? []
        : [`${image} runs as "${user || "root"}", which is not the number of another user than root`];
    }),
  );
  return found.flat();
}

async function send(options: PlayOptions, runner: Runner, token: string) {
  const { log, dir, devices: count, frames, tag } = options;
  nameKafka(runner, options);
  const agents = await outsideDevices({
    count,
    frames,
    gateway: { url: `http://${runner.address(nameOf("gateway", options))}:8080`, token },
    bridgeUrl: `mqtt://${runner.address(nameOf("bridge", options))}:1883`,
    image: `tributary/agent:${tag}`,
    dir: join(dir, "mounts"),
  });
  const brokers = ["kafka:9092"];
  const reader = new KafkaReader({ brokers, prefix: PREFIX, clientId: "containers" });
  const began = await marksOf(reader);
  await reader.close();
  for (const { workload } of agents) await runner.run(workload, "host");
  let last = "";
  const progress = (text: string) => {
    if (text !== last) log(text);
    last = text;
  };
  const run = { brokers, prefix: PREFIX, began, agents };
  const isAnswered = await untilAnswered(run, frames, { silenceMsMax: SILENCE_MS_MAX, onProgress: progress });
  const { report } = await verify({ brokers, prefix: PREFIX, from: began, ledgers: agents });
  if (!isAnswered)
    throw new Error(`frames have no final answer: ${last}; of ${report.frames}, ${report.lost} were lost`);
  const { frames: shown, lost, duplicates, cloudAnswers } = report;
  return { frames: shown, lost, duplicates, cloudAnswers };
}

function nameOf(service: string, { as }: PlayOptions): string {
  return as === "compose" ? service : `${service}-0`;
}

/** Kafka's name, for the verifier outside. The mount is seen by this process alone. */
function nameKafka(runner: Runner, options: PlayOptions): void {
  const hosts = join(options.dir, "hosts");
  writeFileSync(hosts, `127.0.0.1 localhost\n${runner.address(nameOf("kafka", options))} kafka\n`);
  execFileSync("mount", ["--bind", hosts, "/etc/hosts"]);
}
