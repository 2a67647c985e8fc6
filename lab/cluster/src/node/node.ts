/**
 * The node of a folder: started, used and ended. One node runs in a folder; what a killed one left is removed before the next.
 *
 * `enter` gives the beginning of a command that runs on the node: in its namespaces, with its addresses, its names of services and the
 * files of this machine.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { exitFlags, Failure, systemClock } from "@tributary/kernel";
import { identify, isAlive } from "@tributary/kernel/processes";
import { repositoryRoot } from "@tributary/testing";
import { problemsOf } from "../requirements.ts";
import { ALLOCATABLE, type Layout, layoutOf } from "../settings.ts";
import { preparePrograms } from "./built.ts";
import { hasProgram, pathWith, run } from "./commands.ts";
import { isRunning, type NodeState, readState } from "./state.ts";
import { tidy } from "./tidy.ts";

const SUPERVISOR = join(repositoryRoot, "lab/cluster/dist/node/supervise.js");
const END_MS_MAX = 30_000;

export type Node = {
  readonly layout: Layout;
  readonly state: NodeState;
};

/** Starts the folder's node, and resolves when it is Ready. An aborted `signal` ends it. */
export async function startNode(dir: string, say: (text: string) => void, signal: AbortSignal): Promise<Node> {
  requireMachine();
  const layout = layoutOf(dir);
  const earlier = readState(layout);
  if (earlier !== undefined) {
    if (isRunning(earlier))
      throw new Failure("node-running", "ask-a-person", "a node runs already: npm run cluster -- down");
    say("removing what a killed node left");
    await tidy(layout, earlier.group, earlier.link);
  }
  await preparePrograms(layout.bin, say);
  signal.throwIfAborted();
  rmSync(layout.run, { recursive: true, force: true });
  mkdirSync(layout.run, { recursive: true, mode: 0o700 });
  const log = openSync(layout.log, "w");
  const args = [...exitFlags, SUPERVISOR, dir, groupOf(dir), String(process.pid)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", log, log], detached: true, cwd: repositoryRoot });
  closeSync(log);
  child.unref();
  const supervisor = identify(child.pid ?? -1);
  let shown = 0;
  const show = () => {
    const lines = readFileSync(layout.log, "utf8").split("\n").slice(0, -1);
    for (const line of lines.slice(shown)) say(line.replace(/^ *[\d.]+ s {2}/, ""));
    shown = lines.length;
  };
  try {
    for (;;) {
      const isAlone = supervisor === undefined || !isAlive(supervisor);
      show();
      const state = readState(layout);
      if (isAlone || signal.aborted) break;
      if (state?.isReady) return { layout, state };
      await systemClock.sleep(100, signal);
    }
  } catch {
    // Aborted.
  }
  await endNode(dir);
  signal.throwIfAborted();
  throw new Failure(
    "node-ended",
    "ask-a-person",
    `the node ended before it was Ready: ${layout.log} and ${layout.logs} show why`,
  );
}

/** Ends the folder's node and what one left; returns whether there was any. Images stay. */
export async function endNode(dir: string): Promise<boolean> {
  const layout = layoutOf(dir);
  const state = readState(layout);
  if (state === undefined) return false;
  const until = performance.now() + END_MS_MAX;
  if (isRunning(state)) process.kill(state.supervisor.pid, "SIGTERM");
  while (isAlive(state.supervisor) && performance.now() < until) await systemClock.sleep(50);
  if (isAlive(state.supervisor)) process.kill(state.supervisor.pid, "SIGKILL");
  while (state.init !== undefined && isAlive(state.init)) await systemClock.sleep(50);
  await tidy(layout, state.group, state.link);
  rmSync(layout.run, { recursive: true, force: true });
  rmSync(layout.kubeconfig, { force: true });
  return true;
}

/** The folder's node; throws a Failure where none is Ready. */
export function runningNode(dir: string): Node {
  const layout = layoutOf(dir);
  const state = readState(layout);
  if (state?.isReady && isRunning(state)) return { layout, state };
  throw new Failure("node-missing", "ask-a-person", "no node runs: npm run cluster -- up");
}

export function enter({ state }: Node): readonly string[] {
  return [
    "nsenter",
    `--target=${state.init?.pid}`,
    ...["--net", "--mount", "--pid", "--ipc", "--uts"],
    `--wdns=${process.env.INIT_CWD ?? process.cwd()}`,
  ];
}

export const environmentOf = ({ layout }: Node): NodeJS.ProcessEnv => ({
  ...process.env,
  KUBECONFIG: layout.kubeconfig,
  PATH: pathWith(layout.bin),
});

/** Images of an archive that `docker save` or `podman save` wrote; those that the node has are skipped. */
export function loadImages(node: Node, archive: string): void {
  if (!existsSync(archive)) throw new Failure("archive-missing", "ask-a-person", `${archive} is missing`);
  const [program = "", ...args] = enter(node);
  run(program, [...args, "ctr", "--namespace", "k8s.io", "images", "import", archive]);
}

function requireMachine(): void {
  const problems = problemsOf(
    {
      platform: process.platform,
      isRoot: process.getuid?.() === 0,
      memoryKib: totalmem() / 1_024,
      cores: cpus().length,
      has: hasProgram,
    },
    ALLOCATABLE,
  );
  if (problems.length > 0) throw new Failure("machine-lacks", "ask-a-person", problems.join("\n"));
}

/** The same for every node of a folder, so that the next one finds what a killed one left. */
const groupOf = (dir: string): string => `tributary-${createHash("sha256").update(dir).digest("hex").slice(0, 10)}`;
