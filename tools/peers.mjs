// Third-party programs that some tests run against: Python packages, Debian's programs, Node 20, Go. `npm test` needs none of them. A
// test installs what it needs, below .local/peers, where it is not there yet; what cannot be installed is named by an error.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { exitOnError, root, step } from "./bootstrap.mjs";

const peers = join(root, ".local/peers");

/** What `*.ci.test.ts` need, so that no test waits for an installation. */
async function prepareForCi() {
  const names = ["kubernetes", "mlflow", "consumers"];
  await step("peers: uv", async () => uv());
  for (const name of names) await step(`peers: Python, ${name}`, async () => python(name));
  const debians = [["mosquitto"], ["mosquitto_pub", "mosquitto-clients"], ["kcat"], ["promtool", "prometheus"]];
  for (const [program, pkg] of debians) await step(`peers: ${program}`, async () => debian(program, pkg));
  if (which("kubectl") === undefined) throw new Error("kubectl is needed: https://kubernetes.io/docs/tasks/tools");
  await step("peers: Flink's Avro format", async () => flinkJars());
  await step("peers: Go", async () => goProgram("examples/consumers/go"));
  for (const major of [4, 3]) await step(`peers: Helm ${major}`, async () => helm(major));
}

const UV = "0.13.9";
const NO_VENV = "Python 3.10 or newer with its venv module is needed";

/** Installs Python packages in a fraction of pip's time. From PyPI. */
function uv() {
  const dir = join(peers, `uv-${UV}`);
  const program = join(dir, "bin/uv");
  if (existsSync(program)) return program;
  mkdirSync(peers, { recursive: true });
  run("python3", ["-m", "venv", dir], NO_VENV);
  run(join(dir, "bin/python"), ["-m", "pip", "install", "--quiet", `uv==${UV}`], "pip failed");
  return program;
}

/** uv does not read pip's settings. */
function uvEnv() {
  const { PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, PIP_CERT, ...env } = process.env;
  const configured = spawnSync("python3", ["-m", "pip", "config", "get", "global.index-url"], { encoding: "utf8" });
  const index = PIP_INDEX_URL ?? configured.stdout.trim();
  return {
    ...(index !== "" && { UV_DEFAULT_INDEX: index }),
    ...(PIP_EXTRA_INDEX_URL && { UV_INDEX: PIP_EXTRA_INDEX_URL }),
    ...(PIP_FIND_LINKS && { UV_FIND_LINKS: PIP_FIND_LINKS }),
    ...(PIP_CERT && { SSL_CERT_FILE: PIP_CERT }),
    ...env,
  };
}

/** A virtual environment with what `tools/peers/NAME.txt` pins; gives its Python. */
export function python(name) {
  const requirements = join(root, "tools/peers", `${name}.txt`);
  const dir = join(peers, `python-${name}`);
  const digest = createHash("sha256").update(readFileSync(requirements)).digest("hex");
  const done = join(dir, "requirements.sha256");
  const program = join(dir, "bin/python");
  if (existsSync(done) && readFileSync(done, "utf8") === digest && existsSync(program)) return program;
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(peers, { recursive: true });
  run("python3", ["-m", "venv", "--without-pip", dir], NO_VENV);
  run(uv(), ["pip", "install", "--quiet", "--python", program, "-r", requirements], "uv failed", { env: uvEnv() });
  writeFileSync(done, digest);
  return program;
}

/** A program of Debian's; root installs it when it is missing. */
export function debian(program, pkg = program) {
  const found = which(program);
  if (found !== undefined) return found;
  const advice = `${program} is needed: apt-get install ${pkg}`;
  if (process.getuid?.() !== 0 || which("apt-get") === undefined) throw new Error(advice);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const install = ["install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", pkg];
  if (spawnSync("apt-get", install, { stdio: "ignore", env }).status !== 0) {
    run("apt-get", ["update", "-q"], advice, { env });
    run("apt-get", install, advice, { env });
  }
  const installed = which(program);
  if (installed === undefined) throw new Error(advice);
  return installed;
}

/** The oldest Node that README.md lets our commands be started with. */
const NODE_20 = "20.10.0";
const NODE_20_INTEGRITY = {
  x64: "sha512-JXLEM726l5j6rkmekxJjtZV5a80HyQYjZFwOEB+PkuqqlOU07kAGuyS6cRMauQcdsl6Yis0PGzqgoEN1YtcXug==",
  arm64: "sha512-QFTAQhzku76mXRBLtzRznV5sJqi0DguBRfCBYq5uQlZbznZxOjU2pfndK33w+X8srATun9yak5hBJODjSTmqPg==",
};

/** Node 20, from npm. Not of devDependencies: 40 MB for one test. Gives the program, alone in its folder. */
export function node20() {
  const dir = join(peers, `node-${NODE_20}`);
  const program = join(dir, "package/bin/node");
  const done = join(dir, "done");
  if (existsSync(done)) return program;
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  const name = `node-linux-${process.arch}`;
  run("npm", ["pack", "--silent", "--pack-destination", dir, `${name}@${NODE_20}`], "npm pack failed");
  const file = join(dir, `${name}-${NODE_20}.tgz`);
  const integrity = `sha512-${createHash("sha512").update(readFileSync(file)).digest("base64")}`;
  if (integrity !== NODE_20_INTEGRITY[process.arch])
    throw new Error(`${name}@${NODE_20} has another digest: ${integrity}`);
  run("tar", ["-xzf", file, "-C", dir, "package/bin/node"], "tar failed");
  rmSync(file);
  writeFileSync(done, "");
  return program;
}

const FLINK = "2.3.0";
/** What Flink SQL reads Avro with; Confluent's own Java client is in the first, and nowhere else on Maven Central. */
const FLINK_JARS = [
  ...["sql-avro-confluent-registry", "table-runtime", "table-common", "core", "core-api", "annotations"].map((name) => [
    "org.apache.flink",
    `flink-${name}`,
    FLINK,
  ]),
  ["org.slf4j", "slf4j-api", "1.7.36"],
];

/** Flink's Avro format and Confluent's Java client of a schema registry, from Maven Central: gives the class path. */
export function flinkJars() {
  const dir = join(peers, "flink");
  const done = join(dir, "done");
  const dependencies = FLINK_JARS.map(
    ([group, name, version]) =>
      `<dependency><groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version></dependency>`,
  );
  const pom = `<project><modelVersion>4.0.0</modelVersion><groupId>t</groupId><artifactId>t</artifactId><version>1</version>
<dependencies>${dependencies.join("\n")}</dependencies></project>`;
  if (!existsSync(done) || readFileSync(done, "utf8") !== pom) {
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, "pom.xml"), pom);
    const args = ["-B", "-q", "dependency:copy-dependencies", "-DexcludeTransitive", `-DoutputDirectory=${dir}`];
    run("mvn", args, "Maven is needed", { cwd: dir });
    writeFileSync(done, pom);
  }
  return join(dir, "*");
}

const APICURIO = "3.0.9";

/** Apicurio Registry, from Maven Central: gives the jar that runs it on the Java which runs Kafka. */
export function apicurio() {
  const dir = join(peers, `apicurio-${APICURIO}`);
  const jar = join(dir, `apicurio-registry-app-${APICURIO}-runner.jar`);
  const done = join(dir, "done");
  if (existsSync(done)) return jar;
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  const artifact = `-Dartifact=io.apicurio:apicurio-registry-app:${APICURIO}:tar.gz:all`;
  run("mvn", ["-B", "-q", "dependency:unpack", artifact, `-DoutputDirectory=${dir}`], "Maven is needed", { cwd: dir });
  writeFileSync(done, "");
  return jar;
}

/** Go's own command, 1.24 or newer. */
export function go() {
  const found = which("go");
  if (found === undefined) throw new Error("Go 1.24 or newer is needed: https://go.dev/dl");
  return found;
}

const TELEGRAF = "v1.34.4";
/** All of Telegraf takes a quarter of an hour to build; these are what the bench needs of it. */
const TELEGRAF_TAGS = "custom,inputs.mqtt_consumer,outputs.kafka,serializers.influx,parsers.value";

/** Telegraf with its MQTT input and its Kafka output. */
export function telegraf() {
  return goInstalled("github.com/influxdata/telegraf/cmd/telegraf", TELEGRAF, ["-tags", TELEGRAF_TAGS]);
}

/** By major version. Built like this it knows no Kubernetes version: give it --kube-version. */
const HELM = { 3: "v3.22.0", 4: "v4.3.2" };

export function helm(major) {
  return goInstalled(`helm.sh/helm/v${major}/cmd/helm`, HELM[major], ["-trimpath", "-ldflags", "-s -w"]);
}

/** A command of the Go module proxy's. */
function goInstalled(command, version, flags) {
  const name = command.slice(command.lastIndexOf("/") + 1);
  const dir = join(peers, `${name}-${version}`);
  const program = join(dir, name);
  if (existsSync(program)) return program;
  mkdirSync(dir, { recursive: true });
  const env = { ...process.env, CGO_ENABLED: "0", GOBIN: dir };
  run(go(), ["install", ...flags, `${command}@${version}`], `${name} does not build`, { env });
  return program;
}

/** Builds the Go module in a folder of the repository; gives the program. */
export function goProgram(folder) {
  const program = join(peers, "go", folder.replaceAll("/", "-"));
  run(go(), ["build", "-C", join(root, folder), "-o", program, "."], `${folder} does not build`);
  return program;
}

/** `program`: a name on the PATH, or a path: what an engine runs by itself is on no PATH. */
function which(program) {
  if (isAbsolute(program)) return existsSync(program) ? program : undefined;
  const dirs = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"];
  return dirs.map((dir) => join(dir, program)).find((file) => existsSync(file));
}

function run(program, args, advice, options = {}) {
  const { status, error, stderr } = spawnSync(program, args, { stdio: ["ignore", "ignore", "pipe"], ...options });
  if (error !== undefined || status !== 0) {
    throw new Error(`${advice} (${program} ${args.join(" ")}: ${error?.message ?? stderr.toString().slice(-2_000)})`);
  }
}

/** `node tools/peers.mjs`: those of CI. */
if (process.argv[1] === fileURLToPath(import.meta.url)) prepareForCi().catch(exitOnError);
