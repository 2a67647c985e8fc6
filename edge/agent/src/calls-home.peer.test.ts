/** The whole agent, its model's process too, under strace: it may connect only to the addresses of its configuration. ONNX Runtime
 * 1.30 would ask the DNS for its maker's host after some ten seconds; without child-model.ts H7 this test fails. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { repositoryRoot, tempDir, waitFor } from "@tributary/testing";
import { TinyBroker } from "@tributary/testing/devices";
import { debian } from "../../../tools/peers.mjs";

const WATCHED_MS = 20_000;
const dir = tempDir("calls-home");
afterAll(() => dir.remove());

/** IP addresses of a trace, without those that a resolver only sorts, which have port 0. */
function addressesIn(trace: string): Set<string> {
  const found = new Set<string>();
  for (const [, port, v4, v6] of trace.matchAll(
    /\b(?:connect|sendto|sendmsg|sendmmsg)\(.*?htons\((\d+)\).*?(?:inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)")/g,
  )) {
    if (port !== "0") found.add(`${v4 ?? v6}:${port}`);
  }
  return found;
}

test("the agent and its model connect to the configured broker only; nothing is left in their home", async () => {
  const strace = debian("strace");
  const broker = await TinyBroker.open();
  const [home, data, trace, file] = ["home", "data", "trace", "agent.yaml"].map((name) => join(dir.path, name)) as [
    string,
    string,
    string,
    string,
  ];
  mkdirSync(home);
  const camera = { id: "front", kind: "sheet", sheets: join(repositoryRoot, "samples/cifar10-test"), fps: 5 };
  const config = {
    deviceId: "cam-01",
    dataDir: data,
    mqtt: { url: broker.url, password: "x" },
    model: { package: join(repositoryRoot, "models/edge-resnet8") },
    cameras: [camera],
  };
  writeFileSync(file, JSON.stringify(config));
  const main = join(repositoryRoot, "edge/agent/dist/main.js");
  const watched = ["-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", trace];
  const { ORT_DISABLE_TELEMETRY: _, ...env } = process.env; // the agent must not depend on the environment of this test
  const child = spawn(strace, [...watched, process.execPath, main, "--config", file], {
    env: { ...env, HOME: home },
    stdio: "ignore",
  });
  const ended = once(child, "close");
  try {
    await waitFor(() => broker.received.length > 0, { what: "its first predictions" });
    await new Promise((resolve) => setTimeout(resolve, WATCHED_MS));
    expect([...addressesIn(readFileSync(trace, "utf8"))]).toEqual([new URL(broker.url).host]);
    expect(readdirSync(home)).toEqual([]);
  } finally {
    for (const pid of agentsOf(file)) process.kill(pid, "SIGTERM");
    await ended; // strace ends with what it watches
    await broker.close();
  }
});

/** Processes that were started with this file. */
const agentsOf = (file: string): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const args = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return args.includes(file) && !args[0]?.endsWith("strace");
      } catch {
        return false;
      }
    })
    .map(Number);
