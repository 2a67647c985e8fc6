// Prepares a clone to run programs: dependencies, Node 24, Kafka's jars, build. Steps that are done already are skipped. Plain JavaScript without dependencies: it runs on Node 20, before anything is installed.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { MissingTool, requireJava, requireMaven } from "./kafka.mjs";

export const root = fileURLToPath(new URL("..", import.meta.url));
/** On an older one npm omits sharp's native libraries. */
const NODE_MIN = [20, 10];
const NODE_MAJOR_RUNTIME = 24;

/** Prints what it does; throws MissingTool for what must be installed by hand. Returns the node to run things with. */
export async function bootstrap({ kafka = true } = {}) {
  const startedAt = Date.now();
  requireTools(kafka);
  await Promise.all([
    isInstalled()
      ? undefined
      : step("dependencies: npm ci", async () => {
          await run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
          markInstalled();
        }),
    kafka
      ? step("Kafka's jars", () => run(process.execPath, ["tools/kafka.mjs", "jars"]), { quietMs: 1000 })
      : undefined,
  ]);
  const node = runtimeNode();
  await step("build: tsc -b", () => run(node, ["node_modules/typescript/bin/tsc", "-b", ...programs()]));
  return { node, seconds: (Date.now() - startedAt) / 1000 };
}

function requireTools(kafka) {
  const missing = [];
  const need = (check) => {
    try {
      check();
    } catch (error) {
      if (!(error instanceof MissingTool)) throw error;
      missing.push(error.message);
    }
  };
  need(() => {
    const [major, minor] = process.versions.node.split(".").map(Number);
    if (major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1])) {
      throw new MissingTool(`Node ${NODE_MIN.join(".")} or newer is needed: this is ${process.version}`);
    }
  });
  need(() => {
    if (spawnSync("npm", ["--version"]).error) throw new MissingTool('npm is needed: "npm" was not found');
  });
  if (kafka) {
    need(requireJava);
    need(requireMaven);
  }
  if (missing.length > 0) throw new MissingTool(missing.join("\n"));
}

const lockHash = () =>
  createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
const stampFile = () => join(root, "node_modules", ".tributary-lock");
const markInstalled = () => writeFileSync(stampFile(), lockHash());

function isInstalled() {
  const tree = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(tree)) return false;
  if (existsSync(stampFile()) && readFileSync(stampFile(), "utf8") === lockHash()) return true;
  // A tree that `npm install` brought up to date after the lock file was written is as good.
  if (statSync(tree).mtimeMs < statSync(join(root, "package-lock.json")).mtimeMs) return false;
  markInstalled();
  return true;
}

/** Node 24: npm brings it (optionalDependencies) on Linux; elsewhere the caller's own is used. */
export function runtimeNode() {
  const brought = join(root, "node_modules", `node-linux-${process.arch}`, "bin", "node");
  if (process.platform === "linux" && existsSync(brought)) return brought;
  if (Number(process.versions.node.split(".")[0]) >= NODE_MAJOR_RUNTIME) return process.execPath;
  throw new MissingTool(
    `Node ${NODE_MAJOR_RUNTIME} or newer is needed: npm brings it for Linux on x64 and arm64, this is ${process.platform} on ${process.arch} with ${process.version}`,
  );
}

/** For programs of ours under Node 24. All but the last: process.exit() may wait forever for V8's background compilers (ADR 10; these
 * flags are in libs/kernel too, which is not built yet). The last: kafkajs sets timers that are due already. */
export const nodeFlags = [
  "--no-concurrent-sparkplug",
  "--no-maglev-build-code-on-background",
  "--no-maglev-deopt-data-on-background",
  "--disable-warning=TimeoutNegativeWarning",
];

/** Everything except the types of tests. */
const programs = () =>
  JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8"))
    .references.map(({ path }) => path)
    .filter((path) => path !== "tsconfig.tests.json");

/** Runs one step and prints its duration; with `quietMs`, only if it took longer. */
export async function step(name, act, { quietMs = 500 } = {}) {
  const startedAt = Date.now();
  const timer = setTimeout(() => console.log(`  ${name} ...`), quietMs);
  try {
    await act();
  } catch (error) {
    clearTimeout(timer);
    throw error instanceof MissingTool ? error : new Error(`${name} failed: ${error.message}`);
  }
  clearTimeout(timer);
  const ms = Date.now() - startedAt;
  if (ms > quietMs) console.log(`  ${name}: ${(ms / 1000).toFixed(1)} s`);
}

/** Runs a command quietly in the repository; rejects with its output when it fails. */
export function run(command, args, options = {}) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"], ...options });
    let output = "";
    const keep = (chunk) => {
      output = (output + chunk).slice(-20_000);
    };
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
    child.once("error", fail);
    child.once("close", (code, signal) =>
      code === 0
        ? done(output)
        : fail(new Error(`${command} ${args.join(" ")} ended with ${code ?? signal}\n${output}`)),
    );
  });
}

/**
 * Runs a program with the terminal as its own, and resolves with its exit code. Ctrl-C reaches it by the terminal;
 * SIGTERM is passed on; and when npm, who started us, is killed, the program is asked to stop.
 */
export function hand(command, args, env = process.env) {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: root, stdio: "inherit", env });
    const onTerm = () => child.kill("SIGTERM");
    process.on("SIGINT", () => {});
    process.on("SIGTERM", onTerm);
    process.on("SIGHUP", onTerm);
    const starters = process.env.npm_lifecycle_event ? ancestors(2) : ancestors(1);
    const watch = setInterval(() => {
      const gone = starters.find((pid) => !existsSync(`/proc/${pid}`));
      if (gone === undefined) return;
      console.error(`process ${gone}, which started this, has ended: stopping`);
      clearInterval(watch);
      onTerm();
    }, 1000);
    if (process.platform !== "linux") clearInterval(watch);
    child.once("error", (error) => {
      console.error(`${command}: ${error.message}`);
      done(1);
    });
    child.once("close", (code, signal) => {
      clearInterval(watch);
      done(code ?? (signal === "SIGINT" ? 130 : 1));
    });
  });
}

/** Parent and grandparent, as far as they go. */
function ancestors(count) {
  const pids = [];
  let pid = process.ppid;
  for (let i = 0; i < count && pid > 1; i++) {
    pids.push(pid);
    try {
      pid = Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1]);
    } catch {
      break;
    }
  }
  return pids;
}

/** The end of a tool's main: a missing tool is advice, anything else an error; both exit 1. */
export function exitOnError(error) {
  console.error(error instanceof MissingTool ? error.message : `tributary: ${error.message}`);
  process.exit(1);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  bootstrap().then(({ seconds }) => console.log(`ready in ${seconds.toFixed(1)} s`), exitOnError);
}
