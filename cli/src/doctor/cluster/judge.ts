/**
 * What is wrong with a release in a cluster, from what kubectl shows of it: one finding for each fault, with its repair, and one for each kind of
 * object in which there is none. It reads no clock and no network: the snapshot is all there is (look.ts takes it).
 */
import { type Finding, failed, ok, skipped, some, warning } from "../finding.ts";
import {
  appOf,
  type ClusterEvent,
  conditionOf,
  type Job,
  type Listed,
  type Node,
  type PodSpec,
  type Snapshot,
  type Workload,
} from "./objects.ts";
import { isOfJob, isReady, judgePods } from "./pods.ts";
import { cores, mebibytes, quantity } from "./quantity.ts";

/** Shares of a volume from which it is reported. */
const FULL_SOON = 0.85;
const FULL = 0.97;
/** Attempts of a job that failed, from which it is reported although it tries again. */
const ATTEMPTS_MANY = 3;

export function judgeCluster(snapshot: Snapshot): Finding[] {
  const { namespace, pods, workloads } = snapshot;
  if (pods.length === 0 && workloads.items.length === 0) {
    const find = "kubectl get pods -A -l app.kubernetes.io/part-of=tributary";
    return [failed("release", `nothing of Tributary is in namespace ${namespace}`, `give --namespace: ${find}`)];
  }
  return [
    ...orOk(judgePods(snapshot), "pods", `${pods.filter(isReady).length} are ready`),
    ...listed("workloads", workloads, () => judgeWorkloads(snapshot)),
    ...listed("jobs", snapshot.jobs, () => judgeJobs(snapshot)),
    ...listed("volumes", snapshot.claims, () => judgeClaims(snapshot)),
    ...listed("volume space", snapshot.volumes, () => judgeVolumes(snapshot)),
    ...listed("images", workloads, () => judgeImages(workloads.items)),
    ...listed("nodes", snapshot.nodes, () => judgeNodes(snapshot)),
    ...listed("events", snapshot.events, () => []), // They only explain what others found.
    ...judgeReadiness(snapshot),
  ];
}

const orOk = (findings: readonly Finding[], check: string, detail: string): Finding[] =>
  findings.length > 0 ? [...findings] : [ok(check, detail)];

function listed<T>(check: string, { refused }: Listed<T>, judge: () => Finding[]): Finding[] {
  if (refused === undefined) return judge();
  return [skipped(check, refused, "ask for a role that may read them (kubectl auth can-i --list)")];
}

/** Warnings about an object, the newest last. */
const warningsOf = (events: readonly ClusterEvent[], kind: string, name: string): string | undefined =>
  events
    .filter(
      ({ involvedObject, type }) => type === "Warning" && involvedObject.kind === kind && involvedObject.name === name,
    )
    .at(-1)
    ?.message.replaceAll(/\s+/g, " ");

/** A workload lacks replicas because of a pod that has its finding, or because pods that it wants do not exist. */
function judgeWorkloads(snapshot: Snapshot): Finding[] {
  const { items } = snapshot.workloads;
  const lacking = items.filter(({ spec, status }) => status.readyReplicas < spec.replicas);
  const findings = lacking.flatMap((workload) => {
    const { kind, metadata, spec, status } = workload;
    const check = `${kind.toLowerCase()} ${metadata.name}`;
    const refused = conditionOf(status, "ReplicaFailure");
    if (refused?.status === "True") {
      const advice = /quota/i.test(refused.message ?? "")
        ? "raise the namespace's ResourceQuota, or lower requests"
        : "the cluster's policy refuses its pods: the message names what they lack";
      return [failed(check, `its pods are refused: ${refused.message ?? refused.reason}`, advice)];
    }
    const pods = snapshot.pods.filter((pod) => appOf(pod) === appOf(workload) && !isReady(pod));
    if (judgePods({ ...snapshot, pods }).length >= spec.replicas - status.readyReplicas) return [];
    const detail = `${status.readyReplicas} of ${spec.replicas} replicas are ready`;
    const advice = `kubectl -n ${snapshot.namespace} describe replicasets,statefulsets: why its pods do not exist`;
    return [status.readyReplicas === 0 ? failed(check, detail, advice) : warning(check, detail, advice)];
  });
  return lacking.length > 0 ? findings : [ok("workloads", `${items.length} have all replicas that they want`)];
}

function judgeJobs({ jobs: { items }, events, pods, lastLines, namespace }: Snapshot): Finding[] {
  const quoted = (job: Job): string => {
    const names = pods
      .filter(({ metadata }) => metadata.ownerReferences.some(({ name }) => name === job.metadata.name))
      .map(({ metadata }) => metadata.name);
    const line = [...lastLines].findLast(([container]) => names.some((name) => container.startsWith(`${name}/`)))?.[1];
    return line === undefined ? "" : `: ${line}`;
  };
  const findings = items.flatMap((job) => {
    const { metadata, status } = job;
    const check = `job ${metadata.name}`;
    const logs = `kubectl -n ${namespace} logs ${check.replace(" ", "/")}`;
    const end = conditionOf(status, "Failed");
    if (end?.status === "True") {
      const again = `mend it, then kubectl -n ${namespace} delete ${check} and apply or upgrade the release again`;
      return [failed(check, `failed (${end.reason ?? "no reason given"})${quoted(job)}`, `${logs}; ${again}`)];
    }
    const refusal = status.active === 0 ? warningsOf(events.items, "Job", metadata.name) : undefined;
    const isDone = conditionOf(status, "Complete")?.status === "True" || job.spec.suspend;
    if (refusal !== undefined && !isDone) return [failed(check, `its pods are refused: ${refusal}`, logs)];
    const attempts = status.failed + pods.filter(isOfJob).flatMap((pod) => attemptsOf(pod, job)).length;
    if (isDone || attempts < ATTEMPTS_MANY) return [];
    return [warning(check, `failed ${attempts} times and tries again${quoted(job)}`, logs)];
  });
  return orOk(findings, "jobs", items.length === 0 ? "none runs, none failed" : `${items.length}, none failed`);
}

/** A pod with restartPolicy OnFailure restarts its container; the job does not count those. */
const attemptsOf = (pod: Snapshot["pods"][number], job: Job): unknown[] =>
  pod.metadata.ownerReferences.some(({ name }) => name === job.metadata.name)
    ? pod.status.containerStatuses.flatMap(({ restartCount }) => Array.from({ length: restartCount }))
    : [];

function judgeClaims({ claims: { items }, events, pods }: Snapshot): Finding[] {
  const used = new Set(pods.flatMap(({ spec }) => claimsOf(spec)));
  const ours = items.filter(
    ({ metadata }) => metadata.labels["app.kubernetes.io/part-of"] === "tributary" || used.has(metadata.name),
  );
  const findings = ours.flatMap(({ metadata, spec, status }) => {
    const check = `volume ${metadata.name}`;
    if (status.phase === "Bound") return [];
    if (status.phase === "Lost") {
      const advice = "its disk is gone: restore it from a backup, or delete the claim and start with an empty one";
      return [failed(check, "is Lost: the volume that it was bound to does not exist", advice)];
    }
    const why = warningsOf(events.items, "PersistentVolumeClaim", metadata.name);
    const ofClass = spec.storageClassName ?? "the default";
    if (why === undefined && used.has(metadata.name)) {
      const advice = `kubectl get storageclass; a class that waits for its first consumer binds once the pod is scheduled`;
      return [warning(check, `is ${status.phase}, of storage class ${ofClass}`, advice)];
    }
    if (why === undefined) return []; // Nothing uses it yet.
    const advice =
      "name a storage class that the cluster has (kubectl get storageclass), and see its provisioner's log";
    return [failed(check, `is ${status.phase}, of storage class ${ofClass}: ${why}`, advice)];
  });
  for (const name of used) {
    if (items.some(({ metadata }) => metadata.name === name)) continue;
    findings.push(failed(`volume ${name}`, "does not exist, but a pod needs it", "apply or upgrade the release again"));
  }
  return orOk(findings, "volumes", `${ours.length} are bound`);
}

const claimsOf = ({ volumes }: PodSpec): string[] =>
  volumes.flatMap(({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName ?? []);

function judgeVolumes({ volumes: { items } }: Snapshot): Finding[] {
  if (items.length === 0) return [];
  const findings = items.flatMap(({ claim, usedBytes, capacityBytes }) => {
    const share = usedBytes / capacityBytes;
    if (share < FULL_SOON) return [];
    const detail = `${Math.round(100 * share)} % of ${mebibytes(capacityBytes)} are used`;
    const advice = "enlarge the claim (if its storage class allows it), or lower what its service keeps";
    return [share < FULL ? warning(`volume ${claim}`, detail, advice) : failed(`volume ${claim}`, detail, advice)];
  });
  return orOk(findings, "volume space", `${items.length} volumes have space`);
}

/** Services of one release are built together; Kafka and others have versions of their own. */
function judgeImages(workloads: readonly Workload[]): Finding[] {
  const byTag = new Map<string, string[]>();
  for (const workload of workloads) {
    const app = appOf(workload);
    for (const { name, image } of workload.spec.template.spec.containers) {
      const [, repository = "", tag] = /^([^@]*?)(?::([^/:@]+))?(?:@.*)?$/.exec(image) ?? [];
      if (name !== app || !repository.endsWith(app) || !/tributary/.test(repository) || image.includes("@")) continue;
      byTag.set(tag ?? "latest", [...(byTag.get(tag ?? "latest") ?? []), app]);
    }
  }
  if (byTag.size === 1) return [ok("images", `all of version ${[...byTag.keys()].join()}`)];
  if (byTag.size === 0) return [skipped("images", "they are named by digests or under other names", "")];
  const tags = [...byTag].map(([tag, apps]) => `${tag}: ${some(apps)}`).join("; ");
  const advice = "give all services one version and apply or upgrade again: they are tested together only";
  return [warning("images", `versions differ: ${tags}`, advice)];
}

function judgeNodes({ nodes: { items }, workloads }: Snapshot): Finding[] {
  const findings = items.flatMap((node) => {
    const check = `node ${node.metadata.name}`;
    const about: Finding[] = [];
    const ready = conditionOf(node.status, "Ready");
    if (ready?.status !== "True") {
      about.push(
        failed(check, `is not ready: ${ready?.message ?? "it does not report"}`, "check the machine and its kubelet"),
      );
    }
    for (const { type, status, message } of node.status.conditions) {
      if (!type.endsWith("Pressure") || status !== "True") continue;
      const advice =
        type === "DiskPressure" ? "free disk there: images and logs, too" : "remove load from it, or add a node";
      about.push(failed(check, `has ${type}: ${message ?? "it evicts pods"}`, advice));
    }
    if (node.spec.unschedulable) {
      about.push(warning(check, "is cordoned: no pod starts there", `kubectl uncordon ${node.metadata.name}`));
    }
    return about;
  });
  return [...orOk(findings, "nodes", `${items.length} are ready`), ...judgeRoom(items, workloads.items)];
}

/** Sums the requests of the release alone: what else runs on the nodes is in the scheduler's message. */
function judgeRoom(nodes: readonly Node[], workloads: readonly Workload[]): Finding[] {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const findings: Finding[] = [];
  const open = nodes.filter(({ spec }) => !spec.unschedulable);
  for (const [resource, shown] of [
    ["cpu", cores],
    ["memory", mebibytes],
  ] as const) {
    const room = open.map(({ status }) => quantity(status.allocatable[resource]));
    const pods = workloads.map(({ metadata, spec }) => ({
      name: metadata.name,
      replicas: spec.replicas,
      wanted: sum(spec.template.spec.containers.map(({ resources }) => quantity(resources.requests[resource]))),
    }));
    const large = pods.filter(({ wanted }) => wanted > Math.max(0, ...room));
    const total = sum(pods.map(({ wanted, replicas }) => wanted * replicas));
    if (large.length > 0) {
      const detail = `${some(large.map(({ name, wanted }) => `${name} (${shown(wanted)})`))}: more than any node has`;
      findings.push(failed(`requests of ${resource}`, detail, "lower resources.requests, or add a larger node"));
    } else if (total > sum(room)) {
      const detail = `all pods ask for ${shown(total)}, and the nodes have ${shown(sum(room))}`;
      findings.push(failed(`requests of ${resource}`, detail, "lower resources.requests, or add a node"));
    }
  }
  return findings;
}

/** Reports what pods answer themselves, where their state is right. */
function judgeReadiness({ pods, readiness }: Snapshot): Finding[] {
  const answers = pods.filter(isReady).flatMap((pod) => {
    const answer = readiness.get(pod.metadata.name);
    return answer === undefined ? [] : [{ pod: pod.metadata.name, answer }];
  });
  const findings = answers.flatMap(({ pod, answer }) =>
    answer.kind === "not-ready"
      ? [warning(`health ${pod}`, `stopped being ready: ${answer.problems.join("; ")}`, "look again in a minute")]
      : [],
  );
  const ready = answers.filter(({ answer }) => answer.kind === "ready");
  if (ready.length > 0) return orOk(findings, "health", `${ready.length} services answer that they are ready`);
  const [unasked] = answers.flatMap(({ answer }) => (answer.kind === "unasked" ? [answer.reason] : []));
  if (unasked === undefined) return findings;
  const advice =
    "needs `get` on pods/proxy, and network policies that let the API server in; the kubelet's checks are above";
  return [...findings, skipped("health", `no service could be asked: ${unasked}`, advice)];
}
