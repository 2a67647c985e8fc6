/**
 * Runs guides as one person does, one after the other: in one clone and one home, with what they started in the background
 * still running. Each guide is one bash (`set -euo pipefail`) in the clone's root, with the oldest Node of README.md first on
 * PATH. The machine's registries and caches are those of the user who runs it.
 *
 * A block that fails is named with file and line, its command, and the end of what it printed. Nothing outlives the session:
 * what runs in the background gets Ctrl-C and must end; anything else that a guide leaves running fails that guide.
 */
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, cpSync, existsSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { homedir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { Failure } from "@tributary/kernel";
import { endAll, marked } from "@tributary/stack";
import { repositoryRoot, waitFor } from "@tributary/testing";
import { blocksOf, scriptOf } from "./guide.ts";

const MARK = "TRIBUTARY_GUIDES";
const INTERRUPT_MS_MAX = 120_000;
const LOG_CHARS_MAX = 4_000;
/** Exit codes after Ctrl-C: 0, or the shell's. */
const INTERRUPTED = [0, 130];

/** What a script calls between the lines of a guide; see scriptOf. `$1` is a line of the guide. */
const PRELUDE = `
guide_block() { echo "$1" > "$GUIDE_STATE/line"; echo "$GUIDE:$1, after $SECONDS s"; }
guide_background() {
  guide_block "$1"
  local text log=$GUIDE_STATE/\${GUIDE//\\//-}:$1.background
  text=$(cat)
  set -m # A group of its own, which Ctrl-C reaches.
  env "${MARK}=$${MARK}-background" bash -c 'trap : INT; bash -euo pipefail -c "$1"; echo $? > "$2"' - "$text" "$log.code" \
    < /dev/null > "$log" 2>&1 &
  set +m
  echo "$! $log" >> "$GUIDE_STATE/started"
  until grep -qF -- "$2" "$log"; do
    if ! kill -0 "$!" 2> /dev/null; then cat "$log"; echo "ended before it printed: $2"; return 1; fi
    sleep 0.2
  done
}
trap 'echo "$LINENO" > "$GUIDE_STATE/line"' ERR
`;

/** What git has and what is new in the working tree, with what was installed and built; Kafka's jars are shared. */
export function copyClone(to: string): void {
  const files = (...flags: string[]) => {
    const { stdout } = spawnSync("git", ["ls-files", ...flags, "--exclude-standard", "-z"], { cwd: repositoryRoot });
    return [...new Set(stdout.toString().split("\0"))].filter(
      (file) => file !== "" && existsSync(join(repositoryRoot, file)),
    );
  };
  for (const file of files("-co")) {
    cpSync(join(repositoryRoot, file), join(to, file), { preserveTimestamps: true });
  }
  for (const ignored of files("-oi", "--directory")) {
    const [name = ""] = /(node_modules|dist)(?=\/$)/.exec(ignored) ?? [];
    if (name === "") continue;
    mkdirSync(dirname(join(to, ignored)), { recursive: true });
    // What is built may be built again, in place.
    const how = name === "node_modules" ? ["-a", "--link"] : ["-a"];
    spawnSync("cp", [...how, join(repositoryRoot, ignored), join(to, ignored)]);
  }
  mkdirSync(join(to, ".local"));
  symlinkSync(join(repositoryRoot, ".local/kafka"), join(to, ".local/kafka"));
}

/** Ports of Kafka, MQTT, gateway, model registry and agent in the guides. */
const PORTS = [9092, 1883, 8080, 8085, 8090];

/** Throws Failure when something listens where the guides' programs will. */
export async function requireFreePorts(): Promise<void> {
  for (const port of PORTS) {
    if (!(await isTaken(port))) continue;
    const what = `guides need port ${port}, which is taken: stop what listens there`;
    throw new Failure("guide-port-taken", "ask-a-person", what);
  }
}

const isTaken = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true));
    socket.once("error", () => resolve(false)).once("connect", () => socket.destroy());
  });

/** Configuration and caches of npm, Maven, pip and Go. */
const SHARED = [".npmrc", ".npm", ".m2", ".config/pip", ".cache/pip", ".config/go"];

function prepareHome(home: string): void {
  for (const path of SHARED) {
    if (!existsSync(join(homedir(), path))) continue;
    mkdirSync(dirname(join(home, path)), { recursive: true });
    symlinkSync(join(homedir(), path), join(home, path));
  }
}

/** What Go built counts only where its sources have the same path. */
function goCaches(): NodeJS.ProcessEnv {
  const { stdout } = spawnSync("go", ["env", "-json", "GOMODCACHE", "GOCACHE"], { encoding: "utf8" });
  return stdout ? (JSON.parse(stdout) as NodeJS.ProcessEnv) : {};
}

/** Of registries and caches, which change nothing that a guide shows, and the mark of this run. */
const KEPT = [
  "npm_config_registry",
  "npm_config_cache",
  "NODE_EXTRA_CA_CERTS",
  "NODE_COMPILE_CACHE",
  "TRIBUTARY_TEST_RUN",
];

/** Our, npm's and Node's other variables of this test are removed. */
function environment(): NodeJS.ProcessEnv {
  const isKept = (name: string) =>
    KEPT.includes(name) || !/^(npm_|TRIBUTARY_|NODE_|JEST_|INIT_CWD$|FORCE_COLOR$)/i.test(name);
  return { ...Object.fromEntries(Object.entries(process.env).filter(([name]) => isKept(name))), ...goCaches() };
}

export type GuideSession = {
  /** Rejects with a Failure that names the guide's failing line. */
  run(guide: string): Promise<void>;
  /** Ends what runs in the background; rejects with what did not end well. */
  end(): Promise<void>;
};

/** `dir` is for the home and what a guide printed; `node` is the program named node. */
export function openSession(options: {
  readonly clone: string;
  readonly dir: string;
  readonly node: string;
  /** A cluster for the blocks that need one. */
  readonly cluster?: {
    readonly kubeconfig: string;
    /** Folders of programs that such a person has. */
    readonly programs: readonly string[];
  };
}): GuideSession {
  const { clone, dir, node, cluster } = options;
  const [home, state] = [join(dir, "home"), join(dir, "state")];
  mkdirSync(home, { recursive: true });
  mkdirSync(state);
  prepareHome(home);
  writeFileSync(join(state, "prelude.sh"), PRELUDE);
  const mark = randomBytes(8).toString("hex");
  const path = [
    dirname(node),
    ...(cluster?.programs ?? []),
    ...(process.env.PATH ?? "").split(delimiter).filter((part) => !part.includes("node_modules")),
  ];
  const env = {
    ...environment(),
    ...(cluster && { KUBECONFIG: cluster.kubeconfig }),
    HOME: home,
    PATH: path.join(delimiter),
    [MARK]: mark,
    GUIDE_STATE: state,
  };

  const run = async (guide: string): Promise<void> => {
    const script = join(state, guide);
    mkdirSync(dirname(script), { recursive: true });
    const markdown = readFileSync(join(clone, guide), "utf8");
    writeFileSync(script, scriptOf(blocksOf(guide, markdown), { hasCluster: cluster !== undefined }));
    const logFile = join(state, `${guide.replaceAll("/", "-")}.log`);
    const log = openSync(logFile, "w");
    const sourced = `. ${join(state, "prelude.sh")}; . ${script}`;
    const bash = spawn("bash", ["-euo", "pipefail", "-c", sourced], {
      cwd: clone,
      env: { ...env, GUIDE: guide },
      stdio: ["ignore", log, log],
      detached: true,
    });
    closeSync(log);
    const code = await new Promise<number | NodeJS.Signals>((resolve, reject) => {
      bash.once("error", reject);
      bash.once("exit", (status, signal) => resolve(status ?? signal ?? 1));
    });
    const left = marked(MARK, mark);
    const names = left.map(({ pid }) => commandOf(pid));
    await endAll(left, 0);
    if (code !== 0) {
      const line = Number(stated("line"));
      throw failed(`${guide}:${line}: exit code ${code}`, markdown.split("\n")[line - 1] ?? "", logFile);
    }
    if (names.length > 0) throw failed(`${guide}: left running`, names.join("\n"), logFile);
  };
  const stated = (name: string): string =>
    existsSync(join(state, name)) ? readFileSync(join(state, name), "utf8").trim() : "";

  const end = async (): Promise<void> => {
    // What was started last may need what was started first.
    const started = stated("started").split("\n").filter(Boolean).reverse();
    const logs = started.map((line) => line.slice(line.indexOf(" ") + 1));
    for (const [i, line] of started.entries()) {
      interrupt(Number.parseInt(line, 10));
      const isOver = () => existsSync(`${logs[i]}.code`);
      await waitFor(isOver, { what: "Ctrl-C", timeoutMs: INTERRUPT_MS_MAX, everyMs: 200 }).catch(() => {});
    }
    const left = marked(MARK, `${mark}-background`);
    const names = left.map(({ pid }) => commandOf(pid));
    await endAll([...left, ...marked(MARK, mark)], 0);
    for (const log of logs) {
      const code = stated(basename(`${log}.code`));
      if (!INTERRUPTED.includes(Number(code || 1)))
        throw failed(`${basename(log, ".background")}: exit code ${code} after Ctrl-C`, "", log);
    }
    if (names.length > 0)
      throw new Failure(
        "guide-left-running",
        "ask-a-person",
        `still running ${INTERRUPT_MS_MAX / 60_000} minutes after Ctrl-C:\n${names.join("\n")}`,
      );
  };
  return { run, end };
}

function failed(what: string, command: string, logFile: string): Failure {
  const output = readFileSync(logFile, "utf8").slice(-LOG_CHARS_MAX);
  return new Failure("guide-does-not-hold", "ask-a-person", [what, command, "", output].join("\n"));
}

function interrupt(group: number): void {
  try {
    process.kill(-group, "SIGINT");
  } catch {
    // It has ended.
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return String(pid);
  }
}
