import { describe, expect, test } from "@jest/globals";
import { causeLine } from "./cause-line.ts";
import { judgeCluster } from "./judge.ts";
import { kinds, type Readiness, type Snapshot } from "./objects.ts";
import { quantity } from "./quantity.ts";
import { claimJson, deploymentJson, jobJson, nodeJson, notReady, podJson, wholeRelease } from "./release.test-kit.ts";

const findingsOf = (change: Partial<Snapshot>) =>
  judgeCluster({ ...wholeRelease, ...change }).filter(({ state }) => state !== "ok");
/** The release with one more pod. */
const withPod = (change: Record<string, unknown>, rest: Partial<Snapshot> = {}, of: object = {}) =>
  findingsOf({ pods: [...wholeRelease.pods, kinds.pod.parse(podJson("router-3", "router", change, of))], ...rest });
const event = (kind: string, name: string, reason: string, message: string) => ({
  items: [kinds.event.parse({ involvedObject: { kind, name }, type: "Warning", reason, message })],
});
const terminated = (exitCode: number, reason = "Error") => ({ terminated: { exitCode, reason } });

describe("a release in a cluster", () => {
  test("that is whole has one line a kind of object, and nothing to do", () => {
    expect(judgeCluster(wholeRelease).map(({ check, state }) => `${check}=${state}`)).toEqual(
      ["pods", "workloads", "jobs", "volumes", "volume space", "images", "nodes", "health"].map((one) => `${one}=ok`),
    );
  });

  test("that is in another namespace is looked for there", () => {
    expect(findingsOf({ pods: [], workloads: { items: [] } })).toMatchObject([
      { check: "release", state: "failed", advice: expect.stringContaining("kubectl get pods -A") },
    ]);
  });

  test("what may not be read is skipped, and hides nothing else", () => {
    const refused = "kubectl: nodes is forbidden: User cannot list resource";
    const found = withPod(notReady("router", { waiting: { reason: "ImagePullBackOff" } }), {
      nodes: { items: [], refused },
      events: { items: [], refused },
    });
    expect(found.map(({ check, state }) => [check, state])).toEqual([
      ["pod router-3", "failed"],
      ["nodes", "skipped"],
      ["events", "skipped"],
    ]);
  });
});

describe("a pod", () => {
  const image = "registry.example/tributary/router:0.1.0";
  const PULL = `Back-off pulling image "${image}": ErrImagePull: failed to pull and unpack image "${image}": failed to resolve reference "${image}": dial tcp: i/o timeout`;
  const back = { waiting: { reason: "CrashLoopBackOff", message: "back-off 5m0s restarting failed container" } };

  test.each([
    [
      "whose image cannot be pulled",
      notReady("router", { waiting: { reason: "ImagePullBackOff", message: PULL } }),
      /^ImagePullBackOff of registry.example\/tributary\/router:0.1.0: dial tcp: i\/o timeout$/,
      /push or import registry.example\/tributary\/router:0.1.0/,
    ],
    [
      "that needs more memory than its limit",
      notReady("router", back, { lastState: terminated(137, "OOMKilled") }),
      /^OOMKilled at its limit of 1Gi, restarted 4 times/,
      /raise resources.limits.memory of router/,
    ],
    [
      "that lacks a secret",
      notReady("router", { waiting: { reason: "CreateContainerConfigError", message: 'secret "gateway" not found' } }),
      /secret "gateway" not found/,
      /create the secret gateway/,
    ],
    [
      "that lacks a key of a secret",
      notReady("router", {
        waiting: {
          reason: "CreateContainerConfigError",
          message: "couldn't find key token in Secret tributary/gateway",
        },
      }),
      /couldn't find key token/,
      /add the key token to secret gateway/,
    ],
    [
      "that was evicted",
      { phase: "Failed", reason: "Evicted", message: "The node was low on resource: ephemeral-storage." },
      /was evicted: The node was low on resource/,
      /free disk on the node/,
    ],
    [
      "that no node has room for",
      {
        phase: "Pending",
        conditions: [
          {
            type: "PodScheduled",
            status: "False",
            reason: "Unschedulable",
            message: "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available.",
          },
        ],
        containerStatuses: [],
      },
      /is Pending: 0\/1 nodes are available: 1 Insufficient memory.$/,
      /lower resources.requests/,
    ],
    [
      "whose only node is cordoned",
      {
        phase: "Pending",
        conditions: [
          { type: "PodScheduled", status: "False", message: "0/1 nodes are available: 1 node(s) were unschedulable." },
        ],
      },
      /were unschedulable/,
      /kubectl uncordon/,
    ],
  ])("%s", (_, change, detail, advice) => {
    expect(withPod(change)).toEqual([
      {
        check: "pod router-3",
        state: /evicted/.test(String(detail)) ? "warning" : "failed",
        detail: expect.stringMatching(detail),
        advice: expect.stringMatching(advice),
      },
    ]);
  });

  test("that crashes: with its exit code and its last words", () => {
    const lastLines = new Map([["router-3/router", "router.yaml: budget: is not a number"]]);
    const [found] = withPod(notReady("router", back, { lastState: terminated(2) }), { lastLines });
    expect(found?.detail).toBe(
      "crashes, restarted 4 times, exit code 2 (its configuration is invalid): router.yaml: budget: is not a number",
    );
    expect(found?.advice).toContain("logs router-3 -c router --previous");
    const full = new Map([["router-3/router", "ENOSPC: no space left on device, write"]]);
    expect(withPod(notReady("router", back, { lastState: terminated(1) }), { lastLines: full })).toMatchObject([
      { detail: expect.stringContaining("exit code 1: ENOSPC"), advice: expect.stringContaining("its volume is full") },
    ]);
  });

  test("that waits for a volume's secret is explained by its event", () => {
    const message = 'MountVolume.SetUp failed for volume "keys" : secret "model-registry-keys" not found';
    const creating = { ...notReady("router", { waiting: { reason: "ContainerCreating" } }), phase: "Pending" };
    const events = event("Pod", "router-3", "FailedMount", message);
    expect(withPod(creating, { events })).toMatchObject([
      {
        state: "failed",
        detail: expect.stringContaining(message),
        advice: expect.stringContaining("model-registry-keys"),
      },
    ]);
    expect(withPod(creating)).toMatchObject([{ state: "warning", detail: "is starting" }]);
  });

  test("that runs and is not ready says why itself; unasked, the kubelet says it", () => {
    const running = notReady("router", { running: {} });
    const readiness = new Map<string, Readiness>([
      ["router-3", { kind: "not-ready", problems: ["kafka: no broker answers", "partitions: none"] }],
    ]);
    expect(withPod(running, { readiness })).toMatchObject([
      {
        detail: "runs, but is not ready: kafka: no broker answers; partitions: none",
        advice: expect.stringContaining("Kafka's pod"),
      },
    ]);
    const events = event(
      "Pod",
      "router-3",
      "Unhealthy",
      "Readiness probe failed: HTTP probe failed with statuscode: 503",
    );
    expect(withPod(running, { events })).toMatchObject([
      { state: "failed", detail: expect.stringContaining("statuscode: 503") },
    ]);
  });

  test("that is ready, but was killed for its memory, is worth a look", () => {
    const containerStatuses = [
      { name: "router", ready: true, restartCount: 1, state: { running: {} }, lastState: terminated(137, "OOMKilled") },
    ];
    expect(withPod({ containerStatuses })).toMatchObject([
      { state: "warning", detail: expect.stringContaining("1Gi") },
    ]);
  });

  test("of a job is judged by the job", () => {
    const ofJob = { ownerReferences: [{ kind: "Job", name: "topics" }] };
    expect(withPod({ phase: "Failed" }, {}, ofJob)).toEqual([]);
    expect(withPod({ phase: "Succeeded" }, {}, ofJob)).toEqual([]);
    expect(withPod(notReady("router", { running: {} }), {}, ofJob)).toEqual([]);
  });
});

describe("other objects", () => {
  const workloads = (...json: object[]) => ({ workloads: { items: json.map((one) => kinds.workload.parse(one)) } });

  test("replicas that a pod's finding explains are reported once", () => {
    const change = notReady("router", { waiting: { reason: "ImagePullBackOff" } });
    const pods = ["router-1", "router-2"].map((name) => kinds.pod.parse(podJson(name, "router", change)));
    const one = workloads(deploymentJson("router", 2, 0));
    expect(findingsOf({ ...one, pods }).map(({ check }) => check)).toEqual(["pod router-1", "pod router-2"]);
    expect(findingsOf({ ...one, pods: pods.slice(1) }).map(({ check }) => check)).toEqual([
      "pod router-2",
      "deployment router",
    ]);
  });

  test("fewer replicas than wanted, none, and pods that the cluster refuses", () => {
    const refused = {
      conditions: [
        { type: "ReplicaFailure", status: "True", message: 'pods "gateway-7d9f-" is forbidden: exceeded quota: small' },
      ],
    };
    expect(
      findingsOf(workloads(deploymentJson("router", 2, 1), deploymentJson("gateway", 1, 0, refused))),
    ).toMatchObject([
      { check: "deployment router", state: "warning", detail: "1 of 2 replicas are ready" },
      { check: "deployment gateway", state: "failed", advice: expect.stringContaining("ResourceQuota") },
    ]);
    expect(findingsOf(workloads(deploymentJson("router", 1, 0)))).toMatchObject([{ state: "failed" }]);
  });

  test("a job that failed, and one that tries again and again", () => {
    const failed = { failed: 6, conditions: [{ type: "Failed", status: "True", reason: "BackoffLimitExceeded" }] };
    const pods = [
      kinds.pod.parse(
        podJson("topics-x", "topics", { phase: "Failed" }, { ownerReferences: [{ kind: "Job", name: "topics" }] }),
      ),
    ];
    const lastLines = new Map([["topics-x/topics", "kafka:9092: ENOTFOUND"]]);
    const jobs = (status: object) => ({ jobs: { items: [kinds.job.parse(jobJson(status))] } });
    expect(findingsOf({ ...jobs(failed), pods, lastLines })).toMatchObject([
      { check: "job topics", state: "failed", detail: "failed (BackoffLimitExceeded): kafka:9092: ENOTFOUND" },
    ]);
    expect(findingsOf(jobs({ active: 1, failed: 3 }))).toMatchObject([{ check: "job topics", state: "warning" }]);
    expect(findingsOf(jobs({ active: 1 }))).toEqual([]);
  });

  test("volumes that are unbound, lost, missing or full", () => {
    const claims = {
      items: [claimJson("trainer", "Pending"), claimJson("kafka", "Lost")].map((one) => kinds.claim.parse(one)),
    };
    const events = event("PersistentVolumeClaim", "trainer", "ProvisioningFailed", 'storageclass "fast" not found');
    const [first] = wholeRelease.pods;
    const volumes = [{ persistentVolumeClaim: { claimName: "archive" } }];
    const pods = first === undefined ? [] : [{ ...first, spec: { ...first.spec, volumes } }];
    expect(findingsOf({ claims, events, pods })).toMatchObject([
      { check: "volume trainer", state: "failed", detail: expect.stringContaining('storageclass "fast" not found') },
      { check: "volume kafka", state: "failed", detail: expect.stringContaining("Lost") },
      { check: "volume archive", state: "failed", detail: expect.stringContaining("does not exist") },
    ]);
    const of = (share: number) => ({
      volumes: { items: [{ claim: "kafka", usedBytes: share * 2 ** 30, capacityBytes: 2 ** 30 }] },
    });
    expect(findingsOf(of(0.5))).toEqual([]);
    expect(findingsOf(of(0.9))).toMatchObject([{ check: "volume kafka", state: "warning" }]);
    expect(findingsOf(of(0.99))).toMatchObject([{ state: "failed", detail: "99 % of 1024 MiB are used" }]);
  });

  test("services of two versions; another program's version is none of them", () => {
    const newer = deploymentJson("gateway");
    const kafka = deploymentJson("kafka");
    for (const one of newer.spec.template.spec.containers) one.image = one.image.replace("0.1.0", "0.2.0");
    for (const one of kafka.spec.template.spec.containers) one.image = "apache/kafka:4.4.0";
    expect(findingsOf(workloads(deploymentJson("router", 2), newer, kafka))).toMatchObject([
      { check: "images", state: "warning", detail: "versions differ: 0.1.0: router; 0.2.0: gateway" },
    ]);
  });

  test("nodes that are cordoned, under pressure or too small", () => {
    const pressure = [{ type: "DiskPressure", status: "True", message: "kubelet has disk pressure" }];
    const nodes = {
      items: [nodeJson("a", { unschedulable: true }), nodeJson("b", {}, pressure)].map((one) => kinds.node.parse(one)),
    };
    expect(findingsOf({ nodes })).toMatchObject([
      { check: "node a", state: "warning", advice: "kubectl uncordon a" },
      { check: "node b", state: "failed", detail: "has DiskPressure: kubelet has disk pressure" },
    ]);
    expect(findingsOf(workloads(deploymentJson("router", 20)))).toMatchObject([
      { check: "requests of memory", detail: "all pods ask for 5120 MiB, and the nodes have 3891 MiB" },
    ]);
    const large = deploymentJson("router", 2);
    for (const one of large.spec.template.spec.containers) one.resources.requests.cpu = "3";
    expect(findingsOf(workloads(large))).toMatchObject([
      { check: "requests of cpu", detail: "router (3 CPU): more than any node has" },
    ]);
  });
});

test("quantities as Kubernetes writes them", () => {
  expect(["250m", "0.5", "2", "1Ki", "1.5Gi", "1M", "", undefined].map(quantity)).toEqual([
    0.25,
    0.5,
    2,
    1024,
    1.5 * 2 ** 30,
    1e6,
    0,
    0,
  ]);
});

test.each([
  [
    '{"level":"info","msg":"started"}\n{"level":"fatal","msg":"kafka is away"}\n{"level":"info","msg":"ended"}',
    "kafka is away",
  ],
  [
    "file:///x.js:1\n\nError: Cannot find module 'x'\n    at y (z.js:1)\n\nNode.js v26.0.0\n",
    "Error: Cannot find module 'x'",
  ],
  ["plain\nlast password=hunter2 line\n", "last password=[redacted] line"],
  ["\n", undefined],
])("of a log, the line that has the cause", (log, line) => {
  expect(causeLine(log)).toBe(line);
});
