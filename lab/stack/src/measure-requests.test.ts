/** What a namespace's containers use, by a kubectl that answers as one of a cluster would. */
import { spawnSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { repositoryRoot, tempDir } from "@tributary/testing";

const MIB = 2 ** 20;
const dir = tempDir("kubectl");
afterAll(() => dir.remove());

const pod = (service: string, name: string, memory: string, { owner = "ReplicaSet", ageMs = 3_600_000 } = {}) => ({
  metadata: { name, labels: { "app.kubernetes.io/name": service }, ownerReferences: [{ kind: owner }] },
  spec: {
    nodeName: "node",
    containers: [{ name: service, resources: { requests: { cpu: "50m", memory }, limits: { memory: "512Mi" } } }],
  },
  status: { phase: "Running", startTime: new Date(Date.now() - ageMs).toISOString() },
});
const usage = (name: string, container: string, mebibytes: number, millis: number, namespace = "tributary") => ({
  podRef: { name, namespace },
  containers: [
    { name: container, memory: { workingSetBytes: mebibytes * MIB }, cpu: { usageNanoCores: millis * 1_000_000 } },
  ],
});

function measure(pods: readonly unknown[], used: readonly unknown[], ...args: readonly string[]) {
  const answers = { pods: { items: pods }, summary: { pods: used } };
  const script = `#!/usr/bin/env node
    const answers = ${JSON.stringify(answers)};
    const isSummary = process.argv.includes("/api/v1/nodes/node/proxy/stats/summary");
    console.log(JSON.stringify(isSummary ? answers.summary : answers.pods));`;
  writeFileSync(join(dir.path, "kubectl"), script);
  chmodSync(join(dir.path, "kubectl"), 0o755);
  const PATH = [dir.path, process.env.PATH].join(delimiter);
  const program = join(repositoryRoot, "tools/measure-requests.mjs");
  const options = { encoding: "utf8", env: { ...process.env, PATH } } as const;
  return spawnSync(process.execPath, [program, "--seconds=0", ...args], options);
}

const pods = [
  pod("router", "router-1", "192Mi"),
  pod("router", "router-2", "192Mi"),
  pod("bridge", "bridge-1", "192Mi"),
  pod("bridge", "bridge-just-started", "192Mi", { ageMs: 0 }),
  pod("topics", "topics-1", "96Mi", { owner: "Job" }),
];
const used = [
  usage("router-1", "router", 120, 10),
  usage("router-2", "router", 218, 70),
  usage("bridge-1", "bridge", 111, 10),
  usage("bridge-just-started", "bridge", 300, 900),
  usage("topics-1", "topics", 80, 5),
  usage("router-1", "router", 900, 900, "other"),
];

test("each service's use is beside what it requests, and what is too little is named", () => {
  const { stdout, status } = measure(pods, used);
  expect(status).toBe(0);
  expect(stdout.split("\n").map((line) => line.split(/ {2,}/))).toEqual([
    ["CONTAINER", "PODS", "MEMORY", "REQUEST", "LIMIT", "CPU", "REQUEST", "BY THE RULE"],
    ["bridge", "2", "111Mi", "192Mi", "512Mi", "10m", "50m", "ok"],
    ["router", "2", "218Mi", "192Mi", "512Mi", "70m", "50m", "too little: request 256Mi, request 100m"],
    [expect.stringMatching(/^1 readings in 0 s/)],
    [""],
  ]);
});

test("with --values it is a file for helm", () => {
  expect(measure(pods, used, "--values").stdout).toBe(`services:
  bridge:
    resources:
      requests: { cpu: 50m, memory: 128Mi }
      limits: { memory: 512Mi }
  router:
    resources:
      requests: { cpu: 100m, memory: 256Mi }
      limits: { memory: 512Mi }
`);
});

test("a namespace without Tributary is named", () => {
  const { stderr, status } = measure([], [], "--namespace=elsewhere");
  expect([status, stderr]).toEqual([1, expect.stringContaining("elsewhere has no running pod of Tributary")]);
});
