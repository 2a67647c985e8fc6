/**
 * Why a pod does not do its work: one finding a pod, with the cause that comes first.
 *
 * A pod is looked at in the order in which Kubernetes starts it: scheduled, volumes and images there, containers running, ready. What the
 * kubelet says of it (its conditions) decides whether anything is wrong; its own answer to the probe, its last line and events say why.
 */
import { type Finding, failed, warning } from "../finding.ts";
import { type ContainerStatus, conditionOf, type Pod, type Snapshot } from "./objects.ts";

/** What repeats the image's name around the reason for which it is not pulled. */
const OF_IMAGE =
  /Back-off pulling image "[^"]*"(: )?|ErrImagePull: |failed to (pull and unpack image|resolve reference) "[^"]*": |failed to do request: /g;
/** Restarts from which a pod that is ready is worth a look. */
const RESTARTS_MANY = 5;

export function judgePods(snapshot: Snapshot): Finding[] {
  return snapshot.pods.flatMap((pod) => {
    const finding = judgePod(pod, snapshot);
    return finding === undefined ? [] : [finding];
  });
}

export const isReady = (pod: Pod): boolean => conditionOf(pod.status, "Ready")?.status === "True";
/** Its job is judged, which may have succeeded at a later attempt. */
export const isOfJob = (pod: Pod): boolean => pod.metadata.ownerReferences.some(({ kind }) => kind === "Job");
export const statusesOf = ({ status }: Pod): ContainerStatus[] => [
  ...status.initContainerStatuses,
  ...status.containerStatuses,
];

function judgePod(pod: Pod, snapshot: Snapshot): Finding | undefined {
  const { status } = pod;
  const check = `pod ${pod.metadata.name}`;
  if (status.phase === "Succeeded" || (isOfJob(pod) && status.phase === "Failed")) return undefined;
  if (status.phase === "Failed") return ended(check, pod, snapshot);
  if (isReady(pod)) return restarted(check, pod, snapshot);
  if (pod.metadata.deletionTimestamp !== undefined) {
    return warning(check, "is being deleted", "wait; if it stays, its node is away: see the nodes below");
  }
  const scheduled = conditionOf(status, "PodScheduled");
  if (scheduled?.status === "False") {
    const message = scheduled.message ?? scheduled.reason ?? "";
    return unscheduled(check, message.replace(/ preemption: .*$/, ""), snapshot);
  }
  for (const container of statusesOf(pod)) {
    const finding = judgeContainer(check, pod, container, snapshot);
    if (finding !== undefined) return finding;
  }
  const stuck = eventOf(snapshot, pod, /^Failed(Mount|AttachVolume|CreatePodSandBox|Scheduling)$/);
  if (stuck !== undefined) return failed(check, `cannot start: ${stuck}`, adviceOfMissing(stuck, snapshot.namespace));
  if (isOfJob(pod) && status.phase === "Running") return undefined; // a job's pod is never asked whether it is ready
  if (status.phase === "Pending") return warning(check, "is starting", "look again in a minute");
  return notReady(check, pod, snapshot);
}

function ended(check: string, { metadata, status }: Pod, { namespace }: Snapshot): Finding {
  const message = status.message ?? "";
  const remove = `remove the rest of it: kubectl -n ${namespace} delete pod ${metadata.name}`;
  if (status.reason === "Evicted") {
    const advice = /ephemeral-storage|disk/i.test(message)
      ? "free disk on the node, or give it more; another pod replaces this one"
      : "the node has too little memory for what runs there; another pod replaces this one";
    return warning(check, `was evicted: ${message}`, `${advice}. ${remove}`);
  }
  return failed(check, `failed: ${status.reason ?? "no reason given"} ${message}`.trim(), remove);
}

/** The scheduler's words, and what helps. */
const UNSCHEDULED: readonly (readonly [RegExp, string])[] = [
  [/unbound immediate PersistentVolumeClaims|persistentvolumeclaim "/i, "its volume is missing: see the volumes below"],
  [/volume node affinity conflict/i, "its volume is on another node: bring that node back, or make room there"],
  [
    /Insufficient (cpu|memory)|Too many pods/i,
    "the nodes have no room for its requests: lower resources.requests, remove other pods, or add a node",
  ],
  [/were unschedulable/i, "a node is cordoned: kubectl uncordon NODE"],
  [/untolerated taint/i, "no node takes it: see its taints (kubectl describe nodes), remove or tolerate them"],
];

function unscheduled(check: string, message: string, { namespace }: Snapshot): Finding {
  const [, advice] = UNSCHEDULED.find(([words]) => words.test(message)) ?? [];
  return failed(check, `is Pending: ${message}`, advice ?? `kubectl -n ${namespace} describe ${check}`);
}

function judgeContainer(check: string, pod: Pod, container: ContainerStatus, snapshot: Snapshot): Finding | undefined {
  const { waiting, terminated } = container.state;
  const { namespace } = snapshot;
  const detail = `${waiting?.reason}: ${waiting?.message ?? ""}`;
  switch (waiting?.reason) {
    case undefined:
      return terminated === undefined || terminated.exitCode === 0
        ? undefined
        : crashed(check, pod, container, snapshot);
    case "CrashLoopBackOff":
      return crashed(check, pod, container, snapshot);
    case "ErrImagePull":
    case "ImagePullBackOff":
    case "ErrImageNeverPull":
    case "InvalidImageName": {
      const image = imageOf(pod, container);
      const why = waiting.message?.replaceAll(OF_IMAGE, "") || "it cannot be pulled";
      const advice = `push or import ${image}, or name another; a private registry needs imagePullSecrets`;
      return failed(check, `${waiting.reason} of ${image}: ${why}`, advice);
    }
    case "CreateContainerConfigError":
      return failed(check, detail, adviceOfMissing(detail, namespace));
    case "CreateContainerError":
    case "RunContainerError":
    case "StartError":
      return failed(check, detail, `kubectl -n ${namespace} describe ${check}`);
    default:
      return undefined; // ContainerCreating, PodInitializing: events say why it takes long
  }
}

const imageOf = (pod: Pod, { name, image }: ContainerStatus): string =>
  [...pod.spec.initContainers, ...pod.spec.containers].find((one) => one.name === name)?.image ?? image;

const limitOf = (pod: Pod, name: string): string =>
  pod.spec.containers.find((one) => one.name === name)?.resources.limits.memory ?? "none";

function crashed(check: string, pod: Pod, container: ContainerStatus, snapshot: Snapshot): Finding {
  const { namespace, lastLines } = snapshot;
  const end = container.state.terminated ?? container.lastState.terminated;
  const times = `restarted ${container.restartCount} times`;
  if (end?.reason === "OOMKilled") {
    const limit = limitOf(pod, container.name);
    return failed(
      check,
      `OOMKilled at its limit of ${limit}, ${times}`,
      `raise resources.limits.memory of ${container.name}`,
    );
  }
  const line = lastLines.get(`${pod.metadata.name}/${container.name}`);
  const quoted = line === undefined ? "" : `: ${line}`;
  const logs = `kubectl -n ${namespace} logs ${pod.metadata.name} -c ${container.name} --previous`;
  const detail = `crashes, ${times}, ${exitOf(end?.exitCode)}${quoted}`;
  if (/ENOSPC|no space left/i.test(quoted)) return failed(check, detail, "its volume is full: see the volumes below");
  return failed(check, detail, `${logs}; it is started again by itself once the cause is mended`);
}

function exitOf(code: number | undefined): string {
  if (code === undefined) return "exit code unknown";
  if (code === 137) return "exit code 137 (killed: its liveness probe failed, or the node had no memory)";
  if (code === 2) return "exit code 2 (its configuration is invalid)";
  return `exit code ${code}`;
}

/** Of a pod that is ready: what happened to it before. */
function restarted(check: string, pod: Pod, snapshot: Snapshot): Finding | undefined {
  for (const { name, restartCount, lastState } of pod.status.containerStatuses) {
    const end = lastState.terminated;
    if (end?.reason === "OOMKilled") {
      const detail = `is ready, but was OOMKilled at its limit of ${limitOf(pod, name)}, restarted ${restartCount} times`;
      return warning(check, detail, `raise resources.limits.memory of ${name}`);
    }
    if (restartCount < RESTARTS_MANY) continue;
    const logs = `kubectl -n ${snapshot.namespace} logs ${pod.metadata.name} -c ${name} --previous`;
    return warning(check, `is ready, but restarted ${restartCount} times, last with ${exitOf(end?.exitCode)}`, logs);
  }
  return undefined;
}

function notReady(check: string, pod: Pod, snapshot: Snapshot): Finding {
  const { namespace, readiness } = snapshot;
  const answer = readiness.get(pod.metadata.name);
  const logs = `kubectl -n ${namespace} logs ${pod.metadata.name}`;
  if (answer?.kind === "not-ready") {
    const problems = answer.problems.join("; ");
    const advice = /kafka|broker|topic/i.test(problems) ? `see Kafka's pod and job topics; ${logs}` : logs;
    return failed(check, `runs, but is not ready: ${problems}`, advice);
  }
  if (answer?.kind === "ready") return warning(check, "became ready just now", "look again in a minute");
  const probe = eventOf(snapshot, pod, /^Unhealthy$/) ?? "its readiness probe has not succeeded";
  return failed(check, `runs, but is not ready: ${probe}`, logs);
}

/** Of the kubelet's messages about what a container refers to. */
const NOT_FOUND = /\b(secret|configmap) "([^"]+)" not found/i;
const NO_KEY = /couldn't find key (\S+) in (Secret|ConfigMap) (?:\S+\/)?([^\s/]+)/i;

function adviceOfMissing(message: string, namespace: string): string {
  const [, key, holder = "", holderName] = NO_KEY.exec(message) ?? [];
  if (key !== undefined) {
    const what = `${holder.toLowerCase()} ${holderName}`;
    return `add the key ${key} to ${what}: kubectl -n ${namespace} edit ${what}`;
  }
  const [, kind, name] = NOT_FOUND.exec(message) ?? [];
  if (name === undefined) return `kubectl -n ${namespace} get events --field-selector type=Warning`;
  return `create the ${kind?.toLowerCase()} ${name}, and the pod starts (docs/guides/deploy-to-k3s.md, step 2)`;
}

function eventOf({ events }: Snapshot, { metadata }: Pod, reason: RegExp): string | undefined {
  const found = events.items.filter(
    ({ involvedObject, ...event }) =>
      involvedObject.kind === "Pod" && involvedObject.name === metadata.name && reason.test(event.reason),
  );
  return found.at(-1)?.message.replaceAll(/\s+/g, " ");
}
