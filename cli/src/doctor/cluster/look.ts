/** Takes a snapshot of a release through kubectl. It changes nothing, and reads no Secret: a pod that lacks one names it. */
import { reasonOf } from "@tributary/kernel";
import { z } from "zod";
import { causeLine } from "./cause-line.ts";
import { type Answer, type Get, jsonOf, Kubectl, type KubectlOptions, parsed } from "./kubectl.ts";
import {
  type Container,
  kinds,
  type Listed,
  type Pod,
  type Readiness,
  type Snapshot,
  type VolumeUse,
} from "./objects.ts";
import { statusesOf } from "./pods.ts";

/** The label that kustomize and the chart give every object. */
const OF_RELEASE = "app.kubernetes.io/part-of=tributary";
const LOGS_MAX = 10;
const ASKED_MAX = 60;
const NODES_ASKED_MAX = 10;

export async function lookAt(options: KubectlOptions): Promise<Snapshot> {
  const kubectl = new Kubectl(options);
  // Alone and first: without pods there is nothing to judge, so its failure is the answer.
  const text = await kubectl.run("get", "pods", "-l", OF_RELEASE, "-o", "json");
  const pods = parsed(z.object({ items: z.array(kinds.pod) }), text).items;
  const [workloads, jobs, claims, nodes, events, lastLines, asked] = await Promise.all([
    kubectl.list(kinds.workload, "deployments.apps,statefulsets.apps", "-l", OF_RELEASE),
    kubectl.list(kinds.job, "jobs.batch", "-l", OF_RELEASE),
    kubectl.list(kinds.claim, "persistentvolumeclaims"),
    kubectl.list(kinds.node, "nodes"),
    kubectl.list(kinds.event, "events", "--sort-by=.lastTimestamp"),
    lastLinesOf(kubectl, pods),
    askAll(kubectl, pods, options.namespace),
  ]);
  const { namespace } = options;
  return { namespace, pods, workloads, jobs, claims, nodes, events, lastLines, ...asked };
}

async function lastLinesOf(kubectl: Kubectl, pods: readonly Pod[]): Promise<ReadonlyMap<string, string>> {
  const ended = pods.flatMap((pod) =>
    statusesOf(pod)
      .filter(({ ready, state, lastState }) => !ready && isFailure(state.terminated ?? lastState.terminated))
      .map(({ name, state }) => ({ pod: pod.metadata.name, name, isOver: state.terminated !== undefined })),
  );
  const lines = await Promise.all(
    ended.slice(0, LOGS_MAX).map(async ({ pod, name, isOver }) => {
      const of = isOver ? [] : ["--previous"];
      const read = kubectl.run("logs", pod, "-c", name, "--tail=40", "--limit-bytes=65536", ...of);
      return [`${pod}/${name}`, causeLine(await read.catch(() => ""))] as const;
    }),
  );
  return new Map(lines.flatMap(([container, line]) => (line === undefined ? [] : [[container, line] as const])));
}

const isFailure = (end: { readonly exitCode: number } | undefined): boolean => end !== undefined && end.exitCode !== 0;

type Asked = { readonly readiness: ReadonlyMap<string, Readiness>; readonly volumes: Listed<VolumeUse> };

async function askAll(kubectl: Kubectl, pods: readonly Pod[], namespace: string): Promise<Asked> {
  const running = pods.filter(({ status }) => status.phase === "Running").slice(0, ASKED_MAX);
  const probes = running.flatMap((pod) => {
    const path = probeOf(pod);
    return path === undefined ? [] : [{ pod: pod.metadata.name, path: `/api/v1/namespaces/${namespace}/pods/${path}` }];
  });
  try {
    return await kubectl.withProxy(async (get) => {
      const [answers, volumes] = await Promise.all([
        Promise.all(probes.map(async ({ pod, path }) => [pod, await readinessAt(get, path)] as const)),
        volumesOf(get, pods, namespace),
      ]);
      return { readiness: new Map(answers), volumes };
    });
  } catch (error) {
    const reason = reasonOf(error);
    const readiness = new Map(probes.map(({ pod }) => [pod, { kind: "unasked", reason }] as const));
    return { readiness, volumes: { items: [], refused: reason } };
  }
}

/** The readiness probe of the container that has one by HTTP: Kafka has none. */
function probeOf({ metadata, spec }: Pod): string | undefined {
  for (const { ports, readinessProbe } of spec.containers) {
    const { path, port } = readinessProbe?.httpGet ?? {};
    const number = typeof port === "number" ? port : portNamed(ports, port);
    if (path !== undefined && number !== undefined) return `${metadata.name}:${number}/proxy${path}`;
  }
  return undefined;
}

const portNamed = (ports: Container["ports"], name: string | undefined): number | undefined =>
  ports.find((port) => port.name === name)?.containerPort;

const health = z.object({ status: z.string(), problems: z.record(z.string(), z.string()).default({}) });
/** Kubernetes' own answer, when it does not pass the request on. */
const refusal = z.object({ kind: z.literal("Status"), message: z.string() });
const refusalOf = ({ status, text }: Answer): string | undefined =>
  refusal.safeParse(jsonOf(text)).data?.message ?? (status === 200 ? undefined : `the API server answers ${status}`);

async function readinessAt(get: Get, path: string): Promise<Readiness> {
  try {
    const answer = await get(path);
    if (answer.status === 200) return { kind: "ready" };
    const body = jsonOf(answer.text);
    const { success, data } = health.safeParse(body);
    if (!success || refusal.safeParse(body).success) return { kind: "unasked", reason: refusalOf(answer) ?? "" };
    return { kind: "not-ready", problems: Object.entries(data.problems).map(([name, why]) => `${name}: ${why}`) };
  } catch (error) {
    return { kind: "unasked", reason: reasonOf(error) };
  }
}

async function volumesOf(get: Get, pods: readonly Pod[], namespace: string): Promise<Listed<VolumeUse>> {
  const names = [...new Set(pods.flatMap(({ spec }) => spec.nodeName ?? []))].slice(0, NODES_ASKED_MAX);
  const answers = await Promise.all(
    names.map((name) =>
      get(`/api/v1/nodes/${name}/proxy/stats/summary`).then(
        (answer) => ({ text: answer.text, refused: refusalOf(answer) }),
        (error: unknown) => ({ text: "", refused: reasonOf(error) }),
      ),
    ),
  );
  const [refused] = answers.flatMap((answer) => answer.refused ?? []);
  const items = answers.flatMap(({ text }) => kinds.summary.safeParse(jsonOf(text)).data?.pods ?? []);
  const uses = items.flatMap(({ volume }) =>
    volume.flatMap(({ pvcRef, usedBytes, capacityBytes }) =>
      pvcRef?.namespace !== namespace || usedBytes === undefined || !capacityBytes
        ? []
        : [{ claim: pvcRef.name, usedBytes, capacityBytes }],
    ),
  );
  return uses.length > 0 || refused === undefined
    ? { items: uses }
    : { items: [], refused: `the kubelet could not be asked: ${refused}` };
}
