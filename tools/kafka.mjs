// One real Kafka on this machine: the jars from Maven Central, one KRaft node on 127.0.0.1. Nothing outside `.local/` and the given
// data directory is written. `startKafka` resolves only when the broker answers a request; a broker that exits first rejects with
// the end of its log. `stop` returns once the process has ended; it kills it if necessary.
// Runs on Node 20 as well, before anything is installed, so: plain JavaScript and no dependencies.
import { spawn, spawnSync } from "node:child_process";
import { createHash, randomBytes, randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const kafkaDir = join(root, ".local", "kafka");
const libsDir = join(kafkaDir, "libs");
const pomFile = join(root, "tools", "kafka", "pom.xml");
const log4jFile = join(root, "tools", "kafka", "log4j2.properties");
const JAVA_MAJOR_MIN = 17;
/** Below those that systems give to outgoing connections (Linux: from 32,768) and Kubernetes to services (from 30,000), so that
 * a port does not become busy before its program listens on it. */
const FREE_PORTS = [20_000, 30_000];
const CLUSTER_ID = "VHJpYnV0YXJ5TG9jYWwwMQ";

export class MissingTool extends Error {}

/** The `java` to run, checked. */
export function requireJava() {
  const java = process.env.JAVA_HOME ? join(process.env.JAVA_HOME, "bin", "java") : "java";
  const { stderr, error } = spawnSync(java, ["-version"], { encoding: "utf8" });
  const advice = "install a JRE (Debian: apt install openjdk-17-jre-headless) or point JAVA_HOME at one";
  if (error) throw new MissingTool(`Java ${JAVA_MAJOR_MIN} or newer is needed: "${java}" was not found; ${advice}`);
  const version = /version "(\d+)(?:\.(\d+))?/.exec(stderr);
  const major = version?.[1] === "1" ? Number(version[2]) : Number(version?.[1]);
  if (!(major >= JAVA_MAJOR_MIN)) {
    throw new MissingTool(
      `Java ${JAVA_MAJOR_MIN} or newer is needed: "${java}" is ${version?.[0] ?? "unknown"}; ${advice}`,
    );
  }
  return java;
}

export function requireMaven() {
  if (existsSync(join(libsDir, ".stamp"))) return;
  if (spawnSync("mvn", ["--version"]).error) throw new MissingTool(MAVEN_MISSING);
}

const MAVEN_MISSING = 'Maven is needed: "mvn" was not found; it brings Kafka\'s jars (Debian: apt install maven)';

/** Kafka's jars under `.local/kafka/libs`, fetched once per content of pom.xml. Returns whether it had to fetch. */
export function ensureJars() {
  const pom = readFileSync(pomFile);
  const stamp = createHash("sha256").update(pom).digest("hex");
  const stampFile = join(libsDir, ".stamp");
  requireJava();
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp) return false;
  const arriving = `${libsDir}.${process.pid}`;
  const mvn = spawnSync(
    "mvn",
    ["-q", "-B", "-f", pomFile, "dependency:copy-dependencies", `-DoutputDirectory=${arriving}`],
    { encoding: "utf8" },
  );
  if (mvn.error) throw new MissingTool(MAVEN_MISSING);
  if (mvn.status !== 0)
    throw new Error(`Maven could not bring Kafka's jars:\n${(mvn.stdout + mvn.stderr).slice(-2000)}`);
  writeFileSync(join(arriving, ".stamp"), stamp);
  rmSync(libsDir, { recursive: true, force: true });
  renameSync(arriving, libsDir);
  rmSync(join(kafkaDir, "template"), { recursive: true, force: true });
  return true;
}

/** Kafka's own topics on a cluster of three: two in sync in place of the flush. */
const replicated = {
  "offsets.topic.replication.factor": 3,
  "transaction.state.log.replication.factor": 3,
  "transaction.state.log.min.isr": 2,
  "share.coordinator.state.topic.replication.factor": 3,
  "share.coordinator.state.topic.min.isr": 2,
  "min.insync.replicas": 2,
  "log.flush.interval.messages": "9223372036854775807",
};

const settings = ({ dataDir, port, controllerPort, proxied, cluster, config = {} }) =>
  Object.entries({
    "process.roles": "broker,controller",
    "node.id": cluster?.nodeId ?? 1,
    "controller.quorum.voters": cluster?.voters ?? `1@127.0.0.1:${controllerPort}`,
    listeners: [
      `PLAINTEXT://127.0.0.1:${port}`,
      `CONTROLLER://127.0.0.1:${controllerPort}`,
      ...(proxied ? [`PROXIED://127.0.0.1:${proxied.port}`] : []),
    ].join(","),
    "advertised.listeners": [
      `PLAINTEXT://127.0.0.1:${port}`,
      ...(proxied ? [`PROXIED://127.0.0.1:${proxied.advertisedPort}`] : []),
    ].join(","),
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT",
    "log.dirs": join(dataDir, "log"),
    "auto.create.topics.enable": false,
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    // Of Kafka's own topics; ours name theirs (docs/adr/0029).
    "log.flush.interval.messages": 1,
    // A bound in bytes holds only as often as it is looked at.
    "log.retention.check.interval.ms": 30_000,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    "num.network.threads": 2,
    "num.io.threads": 4,
    "num.recovery.threads.per.data.dir": 2,
    "background.threads": 2,
    // Index files are mapped at full size; hundreds of small partitions do not need 10 MB each.
    "log.index.size.max.bytes": 524288,
    "log.cleaner.dedupe.buffer.size": 8388608,
    "message.max.bytes": 4194304,
    "replica.fetch.max.bytes": 4194304,
    "controlled.shutdown.max.retries": 1,
    ...(cluster !== undefined && replicated),
    ...config,
  })
    .map(([key, value]) => `${key}=${value}`)
    .join("\n");

/** For timed runs: a young generation that lasts minutes, so that garbage collections are rare. On two shared cores G1 and C2, the
 * defaults of Kafka's own scripts, take more CPU time than they save. */
const ROOMY = ["-Xms768m", "-Xmx768m", "-Xmn512m", "-XX:+AlwaysPreTouch"];

const javaArgs = (heapMb, isMeasured = false) => [
  ...(isMeasured ? ROOMY : [`-Xmx${heapMb}m`, `-Xms${Math.min(128, heapMb)}m`]),
  // A node that lives for minutes starts sooner and compiles less with C1 alone and the serial collector.
  "-XX:TieredStopAtLevel=1",
  "-XX:+UseSerialGC",
  "-XX:-UsePerfData",
  "-Xshare:auto",
  "-Djava.awt.headless=true",
  `-Dlog4j2.configurationFile=${log4jFile}`,
  "-cp",
  join(libsDir, "*"),
];

/** Formats the storage once per set of jars and copies it from then on: it saves a JVM start. */
function format(java, dataDir, nodeId) {
  const logDir = join(dataDir, "log");
  if (existsSync(join(logDir, "meta.properties"))) return;
  mkdirSync(dataDir, { recursive: true });
  const template = join(kafkaDir, "template");
  if (!existsSync(join(template, "meta.properties"))) {
    const work = join(kafkaDir, `format.${process.pid}`);
    mkdirSync(work, { recursive: true });
    const file = join(work, "server.properties");
    writeFileSync(file, settings({ dataDir: work, port: 9092, controllerPort: 9093 }));
    const args = [...javaArgs(256), "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", file];
    const { status, stdout, stderr, error } = spawnSync(java, args, { encoding: "utf8" });
    if (status !== 0) throw new Error(`Kafka's storage could not be formatted: ${error?.message ?? stdout + stderr}`);
    if (!existsSync(template)) renameSync(join(work, "log"), template);
    rmSync(work, { recursive: true, force: true });
  }
  cpSync(template, logDir, { recursive: true });
  if (nodeId !== 1) {
    const meta = join(logDir, "meta.properties");
    const own = readFileSync(meta, "utf8")
      .replace(/^node\.id=.*$/m, `node.id=${nodeId}`)
      .replace(/^directory\.id=.*$/m, `directory.id=A${randomBytes(16).toString("base64url").slice(1)}`);
    writeFileSync(meta, own);
  }
}

/**
 * Starts one node and resolves when it answers.
 * `cluster`: one of several, `voters` as in controller.quorum.voters. `config`: settings in place of ours.
 * `isMeasured`: its answers are timed.
 * `proxied`: a second listener on `port` that advertises `advertisedPort`, the port of the clients' proxy.
 * `detached`: own process group, so that a Ctrl-C on the terminal reaches the caller alone.
 */
export async function startKafka({
  dataDir,
  port,
  controllerPort,
  proxied,
  heapMb = 512,
  isMeasured = false,
  detached = false,
  readyMsMax = 60_000,
  env = process.env,
  onSpawn,
  logFile = join(dataDir, "kafka.log"),
  cluster,
  config,
}) {
  const java = requireJava();
  ensureJars();
  const dir = resolve(dataDir);
  port ??= await freePort();
  controllerPort ??= await freePort();
  format(java, dir, cluster?.nodeId ?? 1);
  const file = join(dir, "server.properties");
  writeFileSync(file, settings({ dataDir: dir, port, controllerPort, proxied, cluster, config }));
  mkdirSync(resolve(logFile, ".."), { recursive: true });
  const log = openSync(logFile, "a");
  const child = spawn(java, [...javaArgs(heapMb, isMeasured), "kafka.Kafka", file], {
    stdio: ["ignore", log, log],
    detached,
    cwd: dir,
    env,
  });
  closeSync(log);
  if (child.pid !== undefined) onSpawn?.(child.pid);
  // A caller that wants its own process group ends it itself.
  const killed = () => child.kill("SIGKILL");
  if (!detached) process.once("exit", killed);
  const exited = new Promise((done) => {
    child.once("exit", (code, signal) => done({ code, signal }));
    child.once("error", (error) => done({ code: null, signal: null, error }));
  });
  void exited.then(() => process.off("exit", killed));
  const node = {
    brokers: `127.0.0.1:${port}`,
    port,
    controllerPort,
    pid: child.pid,
    dataDir: dir,
    logFile,
    exited,
    kill: (signal = "SIGKILL") => child.kill(signal),
    async stop({ graceMs = 15_000 } = {}) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGTERM");
        const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
        await exited;
        clearTimeout(timer);
      }
    },
  };
  const deadline = Date.now() + readyMsMax;
  for (;;) {
    if (await answers(port)) return node;
    const gone = await Promise.race([exited, sleep(50)]);
    if (gone !== undefined || Date.now() > deadline) {
      await node.stop({ graceMs: 1000 });
      const end = readFileSync(logFile, "utf8").slice(-2000);
      throw new Error(
        `Kafka ${gone ? `ended (${gone.code ?? gone.signal ?? gone.error?.message})` : "did not answer in time"}; ${logFile} ends:\n${end}`,
      );
    }
  }
}

/** True when the broker answers ApiVersions v0, which every version of Kafka does. */
export function answers(port, host = "127.0.0.1") {
  return new Promise((done) => {
    const socket = connect({ port, host });
    const end = (answer) => {
      socket.destroy();
      done(answer);
    };
    socket.setTimeout(1000, () => end(false));
    socket.once("error", () => end(false));
    socket.once("data", () => end(true));
    socket.once("close", () => end(false));
    socket.once("connect", () => socket.write(Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255])));
  });
}

/** A free TCP port of 127.0.0.1, reserved while this process runs, as its program may not listen yet.
 * The UDP port of the same number marks it as reserved for other processes, and is released with this one. */
export async function freePort() {
  for (;;) {
    const port = randomInt(...FREE_PORTS);
    if ((await reserve(port)) && (await isFree(port))) return port;
  }
}

const reserve = (port) =>
  new Promise((done, fail) => {
    const socket = createSocket("udp4").unref();
    socket.once("error", (error) => (error.code === "EADDRINUSE" ? done(false) : fail(error)));
    socket.bind({ port, address: "127.0.0.1", exclusive: true }, () => done(true));
  });

const isFree = (port) =>
  new Promise((done, fail) => {
    const server = createServer();
    server.once("error", (error) => (error.code === "EADDRINUSE" ? done(false) : fail(error)));
    server.listen(port, "127.0.0.1", () => server.close(() => done(true)));
  });

async function main([command, ...rest]) {
  const option = (name) => {
    const at = rest.indexOf(`--${name}`);
    return at < 0 ? undefined : rest[at + 1];
  };
  if (command === "jars") {
    console.log(ensureJars() ? "Kafka's jars fetched" : "Kafka's jars are there");
    return;
  }
  if (command !== "start" || rest.includes("--help")) {
    console.log("node tools/kafka.mjs start [--port N] [--controller-port N] [--data DIR] [--heap MB] | jars");
    process.exitCode = command === undefined || command === "--help" || rest.includes("--help") ? 0 : 2;
    return;
  }
  const port = option("port") === undefined ? undefined : Number(option("port"));
  const node = await startKafka({
    dataDir: option("data") ?? join(root, ".local", "kafka-dev"),
    port,
    controllerPort: option("controller-port") === undefined ? undefined : Number(option("controller-port")),
    heapMb: Number(option("heap") ?? 512),
  });
  console.log(
    JSON.stringify({ event: "ready", service: "kafka", brokers: node.brokers, pid: node.pid, log: node.logFile }),
  );
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => void node.stop());
  const { code, signal } = await node.exited;
  process.exitCode = code === 143 || code === 0 ? 0 : 1;
  if (process.exitCode) console.error(`Kafka ended: ${code ?? signal}; see ${node.logFile}`);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  main(process.argv.slice(2)).catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
