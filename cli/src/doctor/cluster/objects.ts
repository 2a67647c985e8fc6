/**
 * What kubectl's JSON says of a release, as far as a check reads it. Lists that are missing are empty, unknown fields are left out.
 */
import { z } from "zod";

const list = <T extends z.ZodType>(item: T) => z.array(item).default([]);
const labels = z.record(z.string(), z.string()).default({});
const metadata = z.object({ name: z.string(), labels, deletionTimestamp: z.string().optional() });
const condition = z.object({
  type: z.string(),
  status: z.string(),
  reason: z.string().optional(),
  message: z.string().optional(),
});

const terminated = z.object({ reason: z.string().optional(), exitCode: z.number(), message: z.string().optional() });
const state = z.object({
  waiting: z.object({ reason: z.string().optional(), message: z.string().optional() }).optional(),
  running: z.object({}).optional(),
  terminated: terminated.optional(),
});
const containerStatus = z.object({
  name: z.string(),
  image: z.string().default(""),
  ready: z.boolean().default(false),
  restartCount: z.number().default(0),
  state: state.default({}),
  lastState: state.default({}),
});
const quantities = z.record(z.string(), z.string()).default({});
const container = z.object({
  name: z.string(),
  image: z.string().default(""),
  ports: list(z.object({ name: z.string().optional(), containerPort: z.number() })),
  resources: z.object({ requests: quantities, limits: quantities }).default({ requests: {}, limits: {} }),
  readinessProbe: z
    .object({
      httpGet: z.object({ path: z.string().default("/"), port: z.union([z.string(), z.number()]) }).optional(),
    })
    .optional(),
});
const podSpec = z.object({
  nodeName: z.string().optional(),
  initContainers: list(container),
  containers: list(container),
  volumes: list(z.object({ persistentVolumeClaim: z.object({ claimName: z.string() }).optional() })),
});

const pod = z.object({
  metadata: metadata.extend({ ownerReferences: list(z.object({ kind: z.string(), name: z.string() })) }),
  spec: podSpec,
  status: z.object({
    phase: z.string().default("Unknown"),
    reason: z.string().optional(),
    message: z.string().optional(),
    conditions: list(condition),
    initContainerStatuses: list(containerStatus),
    containerStatuses: list(containerStatus),
  }),
});

const workload = z.object({
  kind: z.string(),
  metadata,
  spec: z.object({ replicas: z.number().default(1), template: z.object({ spec: podSpec }) }),
  status: z.object({ readyReplicas: z.number().default(0), conditions: list(condition) }).prefault({}),
});

const job = z.object({
  metadata,
  spec: z.object({ suspend: z.boolean().default(false), template: z.object({ spec: podSpec }) }),
  status: z
    .object({ active: z.number().default(0), failed: z.number().default(0), conditions: list(condition) })
    .prefault({}),
});

const claim = z.object({
  metadata,
  spec: z.object({ storageClassName: z.string().optional() }),
  status: z.object({ phase: z.string().default("Pending") }).prefault({}),
});

const node = z.object({
  metadata,
  spec: z.object({ unschedulable: z.boolean().default(false) }),
  status: z.object({ allocatable: quantities, conditions: list(condition) }),
});

const event = z.object({
  involvedObject: z.object({ kind: z.string().default(""), name: z.string().default("") }),
  reason: z.string().default(""),
  message: z.string().default(""),
  type: z.string().default("Normal"),
});

/** What the kubelet answers at `/stats/summary`. */
const summary = z.object({
  pods: list(
    z.object({
      volume: list(
        z.object({
          pvcRef: z.object({ name: z.string(), namespace: z.string() }).optional(),
          usedBytes: z.number().optional(),
          capacityBytes: z.number().optional(),
        }),
      ),
    }),
  ),
});

export const kinds = { pod, workload, job, claim, node, event, summary };

export type Condition = z.infer<typeof condition>;
export type ContainerStatus = z.infer<typeof containerStatus>;
export type Container = z.infer<typeof container>;
export type PodSpec = z.infer<typeof podSpec>;
export type Pod = z.infer<typeof pod>;
export type Workload = z.infer<typeof workload>;
export type Job = z.infer<typeof job>;
export type Claim = z.infer<typeof claim>;
export type Node = z.infer<typeof node>;
export type ClusterEvent = z.infer<typeof event>;

/** What a volume of a claim has, by the kubelet. */
export type VolumeUse = { readonly claim: string; readonly usedBytes: number; readonly capacityBytes: number };

/** A pod's own answer to its readiness probe, or why it could not be asked. */
export type Readiness =
  | { readonly kind: "ready" }
  | { readonly kind: "not-ready"; readonly problems: readonly string[] }
  | { readonly kind: "unasked"; readonly reason: string };

/** Objects of one kind; `refused`: why they may not be read. */
export type Listed<T> = { readonly items: readonly T[]; readonly refused?: string };

/** A release as it was looked at. */
export type Snapshot = {
  readonly namespace: string;
  readonly pods: readonly Pod[];
  readonly workloads: Listed<Workload>;
  readonly jobs: Listed<Job>;
  readonly claims: Listed<Claim>;
  readonly nodes: Listed<Node>;
  readonly events: Listed<ClusterEvent>;
  /** The line with the cause of each container that ended, by `pod/container`. */
  readonly lastLines: ReadonlyMap<string, string>;
  /** By pod. */
  readonly readiness: ReadonlyMap<string, Readiness>;
  readonly volumes: Listed<VolumeUse>;
};

export const conditionOf = ({ conditions }: { readonly conditions: readonly Condition[] }, type: string) =>
  conditions.find((one) => one.type === type);
export const appOf = ({ metadata }: { readonly metadata: { name: string; labels: Record<string, string> } }): string =>
  metadata.labels["app.kubernetes.io/name"] ?? metadata.name;
