#!/usr/bin/env node
/**
 * Starts a node in namespaces of its own, waits for its end, and removes what does not end by itself: its control groups.
 *
 * S1. The node's processes end with this one, however it ends: the kernel kills `unshare` with its parent, the first process of the
 *     namespaces with `unshare`, and with that process all others. Mounts, addresses and the interface on this machine go with them.
 * S2. Only after a kill -9 of this process do empty control groups remain; they have the name of the node's folder, and the next
 *     command that meets them removes them.
 * S3. While a command waits for the node, it ends with that command, however that ends.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { exitFlags, Failure, systemClock } from "@tributary/kernel";
import { diesWithHost, identify, isAlive } from "@tributary/kernel/processes";
import { repositoryRoot } from "@tributary/testing";
import { type Layout, LINKS_MAX, type Link, layoutOf, linkOf } from "../settings.ts";
import { makeGroups } from "./cgroups.ts";
import { pathWith, run, succeeds } from "./commands.ts";
import { readState, writeState } from "./state.ts";
import { tidy } from "./tidy.ts";

const INIT = join(repositoryRoot, "lab/cluster/dist/node/init.js");
const NAMESPACES = ["--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"];
/** Reaps what becomes its child, and ends when its own does. */
const FIRST_PROCESS = '"$@" & wait $!';
const STARTER_EVERY_MS = 500;

async function supervise(dir: string, group: string, starterPid: number | undefined): Promise<void> {
  const layout = layoutOf(dir);
  const supervisor = identify(process.pid);
  if (supervisor === undefined) throw new Failure("node-not-supervised", "give-up", "/proc does not show this process");
  makeGroups(group);
  const link = freeLink();
  const state = { supervisor, link, group, isReady: false };
  writeState(layout, state);
  const [program = "", ...args] = [
    ...diesWithHost(),
    "unshare",
    ...NAMESPACES,
    // It waits for its end of the network.
    ...["sh", "-c", `read -r _; ${FIRST_PROCESS}`, "sh", process.execPath, ...exitFlags, INIT, dir],
  ];
  const child = spawn(program, args, {
    stdio: ["pipe", "inherit", "inherit"],
    env: { ...process.env, PATH: pathWith() },
  });
  const end = () => child.kill("SIGKILL");
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, end);
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  void endWith(starterPid, layout, end);
  try {
    const first = await firstOf(child.pid ?? -1);
    connect(link, first);
    writeState(layout, { ...state, init: identify(first) });
    child.stdin?.end("\n");
  } catch (error) {
    end();
    process.stdout.write(`${error instanceof Error ? error.message : error}\n`);
  }
  await ended;
  await tidy(layout, group, link);
}

/** S3: after the node is ready, nobody waits for it. */
async function endWith(starterPid: number | undefined, layout: Layout, end: () => void): Promise<void> {
  const starter = starterPid === undefined ? undefined : identify(starterPid);
  while (starterPid !== undefined && !(readState(layout)?.isReady ?? true)) {
    if (starter === undefined || !isAlive(starter)) return end();
    await systemClock.sleep(STARTER_EVERY_MS);
  }
}

function freeLink(): Link {
  const taken = run("ip", ["-o", "address"]);
  for (let n = 0; n < LINKS_MAX; n++) {
    const link = linkOf(n);
    if (!taken.includes(`${link.host}/`) && !succeeds("ip", ["link", "show", link.device])) return link;
  }
  throw new Failure(
    "network-taken",
    "ask-a-person",
    `all networks from ${linkOf(0).host} to ${linkOf(LINKS_MAX - 1).host} are taken`,
  );
}

/** One end on this machine, and one in the node's network namespace. */
function connect({ device, host }: Link, first: number): void {
  run("ip", ["link", "add", device, "type", "veth", "peer", "name", `${device}n`, "netns", String(first)]);
  run("ip", ["address", "add", `${host}/30`, "dev", device]);
  run("ip", ["link", "set", device, "up"]);
}

/** The first process of the namespaces, which `unshare` starts. */
async function firstOf(pid: number): Promise<number> {
  for (let tries = 0; tries < 200; tries++) {
    const first = Number(childrenOf(pid).split(" ")[0]);
    if (first > 0) return first;
    await systemClock.sleep(25);
  }
  throw new Failure("namespaces-refused", "ask-a-person", "unshare started no process: may this user make namespaces?");
}

function childrenOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  } catch {
    return "";
  }
}

const [dir = "", group = "", starter] = process.argv.slice(2);
await supervise(dir, group, starter === undefined ? undefined : Number(starter));
process.exit();
