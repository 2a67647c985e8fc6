/** `npm run cluster -- up` and `down`: a real node, of which nothing is left on this machine after any end. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "@jest/globals";
import { exitFlags } from "@tributary/kernel";
import { marked } from "@tributary/stack";
import { repositoryRoot, startProgram, tempDir, waitFor } from "@tributary/testing";

const MAIN = join(repositoryRoot, "lab/cluster/dist/main.js");
const MARK = "TRIBUTARY_CLUSTER_DIR";
const MS_MAX = 300_000;
const dir = tempDir("cluster");
const before = machine();
afterEach(() => cluster("down").ended.then(() => undefined));
afterAll(() => dir.remove());

const cluster = (...args: readonly string[]) =>
  startProgram(process.execPath, [...exitFlags, MAIN, ...args], {
    env: { ...process.env, [MARK]: dir.path },
    msMax: MS_MAX,
  });
const run = async (...args: readonly string[]) => {
  const { code, out, err } = await cluster(...args).ended;
  if (code !== 0) throw new Error(`cluster ${args.join(" ")}: ${err}`);
  return out;
};

/** What a node might leave: interfaces, mounts, rules of packets, control groups, and files where runtimes have theirs. */
function machine() {
  const lines = (program: string, ...args: string[]) =>
    spawnSync(program, args, { encoding: "utf8" })
      .stdout.split("\n")
      .filter((line) => !line.startsWith("#"));
  const inHierarchies = readdirSync("/sys/fs/cgroup").flatMap((name) => filesIn(join("/sys/fs/cgroup", name)));
  const groups = [...filesIn("/sys/fs/cgroup"), ...inHierarchies];
  return {
    links: lines("ip", "-o", "link").map((line) => line.split(":")[1]),
    // Elsewhere other programs may mount at the same time.
    mounts: readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
      .filter((path) => [dir.path, "/run", "/var", "/etc", "/proc", "/sys"].some((where) => path.startsWith(where))),
    rules: lines("iptables-save"),
    groups: groups.filter((name) => name.startsWith("tributary-")),
    files: ["/run/containerd", "/run/netns", "/var/lib/kubelet", "/var/lib/cni", "/var/log/pods"].map(filesIn),
    settings: ["vm/overcommit_memory", "kernel/panic"].map((name) => readFileSync(`/proc/sys/${name}`, "utf8")),
  };
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

const nothingIsLeft = async () => {
  await waitFor(() => marked(MARK, dir.path).length === 0, { what: "the end of all processes" });
  await waitFor(() => JSON.stringify(machine().links) === JSON.stringify(before.links), {
    what: "the end of its network",
  });
};

test(
  "a node is Ready with 2 cores and 4 GiB for pods, there is one at a time, and `down` leaves nothing",
  async () => {
    expect(await run("up")).toContain("export KUBECONFIG=");
    const node = JSON.parse(await run("kubectl", "get", "node", "node", "-o", "json"));
    expect(node.status.allocatable).toMatchObject({ cpu: "2", memory: "4Gi" });
    expect(await run("exec", "hostname")).toBe("node\n");
    await expect(run("up")).rejects.toThrow(/a node runs already: npm run cluster -- down/);
    expect(await run("down")).toBe("the node has ended\n");
    await nothingIsLeft();
    expect(machine()).toEqual(before);
    expect(await run("down")).toBe("no node runs\n");
    await expect(run("kubectl", "get", "nodes")).rejects.toThrow(/no node runs: npm run cluster -- up/);
  },
  MS_MAX,
);

test(
  "SIGTERM while it starts leaves nothing",
  async () => {
    const { child, ended } = cluster("up");
    child.stderr.on("data", (text) => String(text).includes("containerd") && child.kill("SIGTERM"));
    expect(await ended).toMatchObject({ code: 130, err: expect.stringContaining("cluster: stopped") });
    await nothingIsLeft();
    expect(machine()).toEqual(before);
  },
  MS_MAX,
);

test.each([
  ["the command, while it waits", "cluster/dist/main.js"],
  ["what supervises the node", "supervise.js"],
])(
  "kill -9 of %s ends the node, and the next one starts and leaves nothing",
  async (_, program) => {
    const { child, ended } = cluster("up");
    child.stderr.on("data", (text) => {
      if (!String(text).includes("API server")) return;
      for (const { pid } of marked(MARK, dir.path))
        if (
          readFileSync(`/proc/${pid}/cmdline`, "utf8")
            .split("\0")
            .some((arg) => arg.endsWith(program))
        )
          process.kill(pid, "SIGKILL");
    });
    expect((await ended).code).not.toBe(0);
    await nothingIsLeft();
    await run("up");
    await run("down");
    await nothingIsLeft();
    expect(machine()).toEqual(before);
  },
  MS_MAX,
);
