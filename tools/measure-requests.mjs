// Measures what each container of a namespace uses, beside what it requests: the figures in the chart's values.yaml come from it.
//   node tools/measure-requests.mjs --namespace tributary [--seconds 120] [--every 10] [--values]
// It reads the kubelets' own statistics through kubectl (nodes/proxy), so that no metrics server is needed. The rule:
//   request of memory   the working set that 95 % of all readings of all its pods stay below, rounded up to 64 MiB
//   limit of memory     at least twice that, so that a burst is not killed
//   request of CPU      the same of its processor time, rounded up to 50m; there is no limit, since one would delay frames
// A pod's first minute is its start and does not count. Measure under the load that you expect. --values prints a file for helm --values instead.
import { spawnSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

const MIB = 2 ** 20;
const UNITS = { "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, Ki: 2 ** 10, Mi: MIB, Gi: 2 ** 30, Ti: 2 ** 40 };

function kubectl(...args) {
  const { status, stdout, stderr, error } = spawnSync("kubectl", args, { encoding: "utf8", maxBuffer: 1 << 28 });
  if (error !== undefined) throw new Error(`kubectl is needed: ${error.message}`);
  if (status !== 0) throw new Error(`kubectl ${args.join(" ")}: ${stderr.trim()}`);
  return JSON.parse(stdout);
}

const bytesOf = (text) => {
  const [, number, unit] = /^([\d.]+)([A-Za-z]*)$/.exec(text);
  return Number(number) * UNITS[unit];
};
const millisOf = (text) => (text.endsWith("m") ? Number(text.slice(0, -1)) : Number(text) * 1_000);
const roundUp = (value, step) => Math.max(step, Math.ceil(value / step) * step);

/** The value that 95 % of all readings do not exceed. */
function p95(readings) {
  const sorted = [...readings].sort((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * 0.95) - 1];
}

const isService = ({ metadata, status }) => {
  const isOfJob = (metadata.ownerReferences ?? []).some(({ kind }) => kind === "Job");
  return status.phase === "Running" && (metadata.ownerReferences ?? []).length > 0 && !isOfJob;
};

/** Containers of the services' running pods, by the name of the service. */
function containersOf(namespace) {
  const { items } = kubectl("-n", namespace, "get", "pods", "-l", "app.kubernetes.io/part-of=tributary", "-o", "json");
  const containers = new Map();
  for (const { metadata, spec, status } of items.filter(isService)) {
    for (const { name, resources = {} } of spec.containers) {
      const key = metadata.labels["app.kubernetes.io/name"];
      const known = containers.get(key) ?? { key, name, resources, pods: new Map(), memory: [], cpu: [] };
      known.pods.set(metadata.name, status.startTime);
      containers.set(key, known);
    }
  }
  const nodes = new Set(items.map(({ spec }) => spec.nodeName).filter(Boolean));
  return { containers, nodes };
}

const isStarting = (startTime) => Date.now() - Date.parse(startTime) < 60_000;

/** One reading of every container. */
function read(namespace, { containers, nodes }) {
  const pods = [...nodes].flatMap((node) => kubectl("get", "--raw", `/api/v1/nodes/${node}/proxy/stats/summary`).pods);
  for (const { podRef, containers: measured = [] } of pods) {
    if (podRef.namespace !== namespace) continue;
    for (const container of containers.values()) {
      const startTime = container.pods.get(podRef.name);
      const one =
        startTime !== undefined && !isStarting(startTime) && measured.find(({ name }) => name === container.name);
      if (one?.memory?.workingSetBytes !== undefined) container.memory.push(one.memory.workingSetBytes);
      if (one?.cpu?.usageNanoCores !== undefined) container.cpu.push(one.cpu.usageNanoCores / 1e6);
    }
  }
}

/** What was measured, and the rule's requests and limit. */
function judged({ key, pods, memory, cpu, resources: { requests = {}, limits = {} } }) {
  const [memoryBytes, cpuMillis] = [p95(memory), p95(cpu)];
  const rule = {
    memory: roundUp(memoryBytes, 64 * MIB),
    cpu: roundUp(cpuMillis, 50),
    limit: 2 * roundUp(memoryBytes, 64 * MIB),
  };
  const notes = [
    requests.memory === undefined || bytesOf(requests.memory) < rule.memory ? `request ${rule.memory / MIB}Mi` : "",
    requests.cpu === undefined || millisOf(requests.cpu) < rule.cpu ? `request ${rule.cpu}m` : "",
    limits.memory !== undefined && bytesOf(limits.memory) < rule.limit ? `limit ${rule.limit / MIB}Mi` : "",
  ];
  const advice = notes.filter(Boolean).join(", ");
  return { key, pods: pods.size, memoryBytes, cpuMillis, requests, limits, rule, advice };
}

function table(rows) {
  const cells = rows.map((row) => [
    row.key,
    String(row.pods),
    `${Math.round(row.memoryBytes / MIB)}Mi`,
    row.requests.memory ?? "none",
    row.limits.memory ?? "none",
    `${Math.round(row.cpuMillis)}m`,
    row.requests.cpu ?? "none",
    row.advice === "" ? "ok" : `too little: ${row.advice}`,
  ]);
  const all = [["CONTAINER", "PODS", "MEMORY", "REQUEST", "LIMIT", "CPU", "REQUEST", "BY THE RULE"], ...cells];
  const widths = all[0].map((_, i) => Math.max(...all.map((row) => row[i].length)));
  return all
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** For helm --values: the rule's requests, and limits that are large enough. */
function values(rows) {
  const services = rows
    .filter(({ key }) => key !== "kafka")
    .map(({ key, rule, limits }) => {
      const limit =
        limits.memory !== undefined && bytesOf(limits.memory) >= rule.limit ? limits.memory : `${rule.limit / MIB}Mi`;
      return `  ${key}:
    resources:
      requests: { cpu: ${rule.cpu}m, memory: ${rule.memory / MIB}Mi }
      limits: { memory: ${limit} }`;
    });
  return `services:\n${services.join("\n")}`;
}

async function main() {
  const text = { type: "string" };
  const options = {
    namespace: { ...text, default: "tributary" },
    seconds: { ...text, default: "120" },
    every: { ...text, default: "10" },
    values: { type: "boolean", default: false },
  };
  const { namespace, seconds, every, values: asValues } = parseArgs({ options }).values;
  const [secondsMax, stepSeconds] = [Number(seconds), Number(every)];
  if (!(secondsMax >= 0 && stepSeconds > 0)) throw new Error("--seconds and --every are numbers of seconds");
  const found = containersOf(namespace);
  if (found.containers.size === 0)
    throw new Error(`namespace ${namespace} has no running pod of Tributary: name another with --namespace`);
  let count = 0;
  for (let at = 0; at <= secondsMax; at += stepSeconds) {
    if (at > 0) await sleep(stepSeconds * 1_000);
    read(namespace, found);
    count++;
  }
  const measured = [...found.containers.values()].filter(({ memory, cpu }) => memory.length > 0 && cpu.length > 0);
  if (measured.length === 0)
    throw new Error("there are no statistics of these pods yet, or all have just started: try again in a minute");
  const rows = measured.map(judged).sort((a, b) => (a.key < b.key ? -1 : 1));
  console.log(asValues ? values(rows) : table(rows));
  if (!asValues)
    console.log(`${count} readings in ${secondsMax} s; memory and CPU are what 95 % of the readings do not exceed`);
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
