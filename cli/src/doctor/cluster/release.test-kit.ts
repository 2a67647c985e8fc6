/** What kubectl shows of a release with two services and a job, whole or with a fault; shaped as Kubernetes 1.37 prints it. */
import { kinds, type Snapshot } from "./objects.ts";

const labels = (app: string) => ({ "app.kubernetes.io/name": app, "app.kubernetes.io/part-of": "tributary" });
const conditions = (ready: "True" | "False") => [
  { type: "PodScheduled", status: "True" },
  { type: "Initialized", status: "True" },
  { type: "ContainersReady", status: ready },
  { type: "Ready", status: ready },
];

const container = (app: string) => ({
  name: app,
  image: `registry.example/tributary/${app}:0.1.0`,
  ports: [
    { name: "http", containerPort: 8080, protocol: "TCP" },
    { name: "metrics", containerPort: 9464, protocol: "TCP" },
  ],
  readinessProbe: { httpGet: { path: "/health/ready", port: "http", scheme: "HTTP" }, periodSeconds: 5 },
  resources: { requests: { cpu: "100m", memory: "256Mi" }, limits: { memory: "1Gi" } },
});

export const podJson = (name: string, app: string, change: Record<string, unknown> = {}, of: object = {}) => ({
  kind: "Pod",
  metadata: { name, labels: labels(app), ownerReferences: [{ kind: "ReplicaSet", name: `${app}-7d9f` }], ...of },
  spec: { nodeName: "node-1", containers: [container(app)], volumes: [] },
  status: {
    phase: "Running",
    conditions: conditions("True"),
    containerStatuses: [
      { name: app, ready: true, restartCount: 0, state: { running: { startedAt: "2026-11-30T05:00:00Z" } } },
    ],
    ...change,
  },
});

/** Of a pod that is not ready, with its container in `state`. */
export const notReady = (app: string, state: object, more: Record<string, unknown> = {}) => ({
  conditions: conditions("False"),
  containerStatuses: [{ name: app, ready: false, restartCount: 4, state, ...more }],
});

export const deploymentJson = (app: string, replicas = 1, ready = replicas, change: Record<string, unknown> = {}) => ({
  kind: "Deployment",
  metadata: { name: app, labels: labels(app) },
  spec: { replicas, template: { spec: { containers: [container(app)] } } },
  status: { readyReplicas: ready, conditions: [], ...change },
});

export const nodeJson = (name = "node-1", spec: object = {}, pressure: object[] = []) => ({
  metadata: { name },
  spec,
  status: {
    allocatable: { cpu: "2", memory: "3984588Ki" },
    conditions: [
      { type: "MemoryPressure", status: "False" },
      ...pressure,
      { type: "Ready", status: "True", message: "kubelet is posting ready status" },
    ],
  },
});

export const jobJson = (status: object) => ({
  metadata: { name: "topics", labels: labels("topics") },
  spec: { template: { spec: { containers: [container("topics")] } } },
  status,
});

export const claimJson = (name: string, phase: string) => ({
  metadata: { name, labels: labels(name) },
  spec: { storageClassName: "fast" },
  status: { phase },
});

export const wholeRelease: Snapshot = {
  namespace: "tributary",
  pods: [podJson("router-1", "router"), podJson("router-2", "router"), podJson("gateway-1", "gateway")].map((json) =>
    kinds.pod.parse(json),
  ),
  workloads: {
    items: [deploymentJson("router", 2), deploymentJson("gateway")].map((json) => kinds.workload.parse(json)),
  },
  jobs: { items: [kinds.job.parse(jobJson({ succeeded: 1, conditions: [{ type: "Complete", status: "True" }] }))] },
  claims: { items: [kinds.claim.parse(claimJson("trainer", "Bound"))] },
  nodes: { items: [kinds.node.parse(nodeJson())] },
  events: { items: [] },
  lastLines: new Map(),
  readiness: new Map([["router-1", { kind: "ready" }]]),
  volumes: { items: [{ claim: "trainer", usedBytes: 2 ** 30, capacityBytes: 20 * 2 ** 30 }] },
};
