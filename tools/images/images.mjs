// Builds the Dockerfile's targets, unchanged, without Docker: with buildah, on bases made from packages of Debian and npm
// (bases.sh, kafka.sh). Images and layers stay below .local/images, so that the next build takes seconds.
//   node tools/images/images.mjs [TARGET...]       all targets by default; prints seconds and size of each
//   node tools/images/images.mjs --save FILE       also writes all of them into one archive, with Kafka's
// Needs root, Linux and Debian's packages, which it installs. npm's settings and this machine's certificates are mounted
// while it builds; neither is in an image.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { exitOnError, root } from "../bootstrap.mjs";
import { ensureJars } from "../kafka.mjs";
import { debian } from "../peers.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const dir = join(root, ".local/images");
const DOCKERFILE = join(root, "Dockerfile");
/** The stages that run a program, in the Dockerfile's order. */
export const TARGETS = readFileSync(DOCKERFILE, "utf8")
  .split(/^FROM /m)
  .filter((stage) => /^ENTRYPOINT /m.test(stage))
  .map((stage) => /^\S+ AS (\S+)/.exec(stage)[1]);
/** As in k8s/base/kustomization.yaml. */
export const TAG = "0.1.0";
export const KAFKA = "docker.io/apache/kafka:4.4.0";
const BUILDER = "docker.io/library/node:24-bookworm-slim";

/** Program and package, of Debian. */
const PROGRAMS = [
  ["mmdebstrap", "mmdebstrap"],
  ["buildah", "buildah"],
  ["podman", "podman"],
  ["runc", "runc"],
  ["unshare", "util-linux"],
  ["ip", "iproute2"],
  ["iptables", "iptables"],
  ["catatonit", "catatonit"],
  ["/usr/lib/podman/netavark", "netavark"],
  ["/usr/lib/podman/aardvark-dns", "aardvark-dns"],
];

/** Throws an error that says what is missing. */
export function requirePrograms() {
  if (process.platform !== "linux") throw new Error("images are built on Linux alone");
  if (process.getuid() !== 0) throw new Error("images are built and run as root: sudo npm run containers");
  for (const [program, pkg] of PROGRAMS) debian(program, pkg);
}

/**
 * The variables by which buildah and podman find images and settings. Containers are in `runDir`: what a killed run left there is
 * of no other one.
 */
export function storageEnv(runDir = join(dir, "run")) {
  mkdirSync(runDir, { recursive: true });
  const write = (name, text) => {
    const file = join(runDir, name);
    writeFileSync(file, text);
    return file;
  };
  return {
    ...process.env,
    CONTAINERS_STORAGE_CONF: write(
      "storage.conf",
      `[storage]\ndriver = "overlay"\ngraphroot = "${dir}/storage"\nrunroot = "${runDir}/root"\n`,
    ),
    // crun refuses machines with both versions of cgroups; without systemd there is no other manager than cgroupfs.
    CONTAINERS_CONF: write(
      "containers.conf",
      `[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "${runDir}/libpod"
static_dir = "${runDir}/static"
volume_path = "${runDir}/volumes"
[network]
network_backend = "netavark"
network_config_dir = "${runDir}/networks"
[containers]
log_driver = "k8s-file"
`,
    ),
  };
}

/** Builds bases, Kafka's image and targets. Returns seconds and bytes of each target. */
export async function buildImages({ targets = TARGETS, log = console.log } = {}) {
  requirePrograms();
  const unknown = targets.filter((target) => !TARGETS.includes(target));
  if (unknown.length > 0) throw new Error(`no target of the Dockerfile: ${unknown.join(", ")}`);
  const env = storageEnv();
  const froms = readFileSync(DOCKERFILE, "utf8")
    .match(/^FROM .*$/gm)
    .join("\n");
  await once("bases", readFileSync(join(here, "bases.sh")) + froms, log, () =>
    run("bash", [join(here, "bases.sh"), join(dir, "bases"), DOCKERFILE], env),
  );
  ensureJars();
  const kafka = readFileSync(join(here, "kafka.sh")) + readFileSync(join(root, "tools/kafka/pom.xml"));
  await once("kafka", kafka, log, () =>
    run("bash", [join(here, "kafka.sh"), join(dir, "kafka"), join(root, ".local/kafka/libs"), KAFKA, BUILDER], env),
  );
  const built = [];
  for (const target of targets) {
    const startedAt = Date.now();
    await run("buildah", [...buildArguments(), "--target", target, "--tag", imageName(target), root], env);
    const size = ["image", "inspect", "--format={{.Size}}", imageName(target)];
    const bytes = Number(output("podman", size, env));
    const seconds = (Date.now() - startedAt) / 1000;
    built.push({ target, seconds, bytes });
    log(`${target.padEnd(18)} ${seconds.toFixed(1).padStart(6)} s ${(bytes / 1e6).toFixed(0).padStart(5)} MB`);
  }
  return built;
}

export function imageName(target) {
  return `docker.io/tributary/${target}:${TAG}`;
}

/** Writes all images into one archive, as `ctr images import` and `podman load` read it. */
export async function saveImages(file, { targets = TARGETS, others = [] } = {}) {
  const images = [KAFKA, ...targets.map(imageName), ...others];
  rmSync(file, { force: true }); // podman adds to no archive
  await run("podman", ["save", "--quiet", "--multi-image-archive", "--output", file, ...images], storageEnv());
}

function buildArguments() {
  const cache = output("npm", ["config", "get", "cache"]);
  mkdirSync(cache, { recursive: true });
  const mounts = [[cache, "/root/.npm"]];
  mounts.push(["/etc/ssl/certs", "/etc/ssl/certs:ro"]);
  for (const [name, inside] of [
    ["globalconfig", "/usr/local/etc/npmrc:ro"],
    ["userconfig", "/root/.npmrc:ro"],
  ]) {
    const file = output("npm", ["config", "get", name]);
    if (existsSync(file)) mounts.push([file, inside]);
  }
  const options = ["--layers", "--pull=never", "--network=host", "--isolation=oci", "--runtime=runc", "--quiet"];
  return ["bud", ...options, ...mounts.flatMap(([from, to]) => ["--volume", `${from}:${to}`])];
}

/** Does it again only when what it is made from has changed. */
async function once(name, madeFrom, log, work) {
  const stamp = join(dir, `${name}.stamp`);
  const wanted = createHash("sha256").update(madeFrom).digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  const startedAt = Date.now();
  await work();
  writeFileSync(stamp, wanted);
  log(`${name.padEnd(18)} ${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s`);
}

function output(program, args, env = process.env) {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", env });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${stderr.slice(-2_000)}`);
  return stdout.trim();
}

function run(program, args, env) {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    const keep = (chunk) => {
      text = (text + chunk).slice(-6_000);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.once("error", fail);
    child.once("close", (code) =>
      code === 0 ? done() : fail(new Error(`${program} ${args.join(" ")} ended with ${code}\n${text}`)),
    );
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2);
  const at = args.indexOf("--save");
  const [, file] = at < 0 ? [] : args.splice(at, 2);
  buildImages(args.length > 0 ? { targets: args } : {})
    .then(() => (file === undefined ? undefined : saveImages(file)))
    .catch(exitOnError);
}
