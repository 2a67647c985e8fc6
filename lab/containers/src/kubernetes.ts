/**
 * What `kubectl kustomize` or `helm template` prints, as containers. Of what a kubelet does, this keeps: arguments, environment from
 * ConfigMaps and Secrets, mounts with their modes and groups, users, read-only roots, capabilities, memory limits, replicas, and probes.
 * A Service's name is a host name of its pods, without an address of its own, and type LoadBalancer publishes its ports.
 */
import { bytesOf, type Mount, type Parsed, type Probe, type PublishedPort, type Workload } from "./workload.ts";

export type KubernetesObject = {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Labels };
  readonly data?: Readonly<Record<string, string>>;
  readonly stringData?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly replicas?: number;
    readonly type?: string;
    readonly selector?: Labels;
    readonly ports?: readonly { readonly port: number; readonly targetPort: string | number }[];
    readonly template?: { readonly metadata: { readonly labels?: Labels }; readonly spec: PodSpec };
    readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[];
  };
};
type Labels = Readonly<Record<string, string>>;
type SecurityContext = {
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly fsGroup?: number;
  readonly readOnlyRootFilesystem?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly capabilities?: { readonly drop?: readonly string[] };
};
type PodSpec = {
  readonly containers: readonly Container[];
  readonly securityContext?: SecurityContext;
  readonly volumes?: readonly Volume[];
  readonly terminationGracePeriodSeconds?: number;
};
type Volume = {
  readonly name: string;
  readonly configMap?: { readonly name: string; readonly defaultMode?: number };
  readonly secret?: { readonly secretName: string; readonly defaultMode?: number };
  readonly persistentVolumeClaim?: { readonly claimName: string };
  readonly emptyDir?: object;
};
type KeyRef = { readonly name: string; readonly key: string };
type Container = {
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: { readonly configMapKeyRef?: KeyRef; readonly secretKeyRef?: KeyRef };
  }[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[];
  readonly startupProbe?: KubernetesProbe;
  readonly readinessProbe?: KubernetesProbe;
  readonly livenessProbe?: KubernetesProbe;
  readonly resources?: { readonly limits?: { readonly memory?: string } };
  readonly securityContext?: SecurityContext;
};
type KubernetesProbe = {
  readonly httpGet?: { readonly path: string; readonly port: string | number };
  readonly tcpSocket?: { readonly port: string | number };
  readonly timeoutSeconds?: number;
};
type Pod = {
  readonly kind: Workload["kind"];
  readonly owner: string;
  readonly name: string;
  readonly labels: Labels;
  readonly spec: PodSpec;
  readonly claims: readonly string[];
};

const FILE_MODE = 0o644;

export function kubernetesWorkloads(objects: readonly KubernetesObject[]): Parsed {
  const problems: string[] = [];
  const workloads = objects
    .flatMap(podsOf)
    .map((pod) => workloadOf(pod, objects, (problem) => void problems.push(`${pod.name}: ${problem}`)));
  return { workloads, problems };
}

function podsOf({ kind, metadata, spec }: KubernetesObject): Pod[] {
  const template = spec?.template;
  if (template === undefined || !["Deployment", "StatefulSet", "Job"].includes(kind)) return [];
  const claims = (spec?.volumeClaimTemplates ?? []).map((claim) => claim.metadata.name);
  const pod = { owner: metadata.name, labels: template.metadata.labels ?? {}, spec: template.spec, claims };
  if (kind === "Job") return [{ ...pod, kind: "job", name: metadata.name }];
  return Array.from({ length: spec?.replicas ?? 1 }, (_, n) => ({
    ...pod,
    kind: "service" as const,
    name: `${metadata.name}-${n}`,
  }));
}

type Report = (problem: string) => void;

function workloadOf(pod: Pod, objects: readonly KubernetesObject[], report: Report): Workload {
  const { spec } = pod;
  const [container, ...others] = spec.containers;
  if (container === undefined) throw new Error(`${pod.name} has no container`);
  if (others.length > 0) report(`has ${spec.containers.length} containers: only the first is run`);
  const own = { ...spec.securityContext, ...container.securityContext };
  const env = environmentOf(container, objects, report);
  const expand = (text: string) => text.replace(/\$\((\w+)\)/g, (all, key: string) => env[key] ?? all);
  const services = objects.filter(
    ({ kind, spec: { selector } = {} }) =>
      kind === "Service" && selector !== undefined && selects(selector, pod.labels),
  );
  const limit = container.resources?.limits?.memory;
  const memoryBytesMax = limit === undefined ? undefined : bytesOf(limit);
  if (limit !== undefined && memoryBytesMax === undefined) report(`memory limit "${limit}" is no quantity`);
  const probes = pod.kind === "job" ? [] : probesOf(container, report);
  return {
    kind: pod.kind,
    name: pod.name,
    image: container.image,
    ...(container.command && { command: container.command }),
    args: (container.args ?? []).map(expand),
    env,
    ...(own.runAsUser !== undefined && { user: `${own.runAsUser}:${own.runAsGroup ?? 0}` }),
    groups: own.fsGroup === undefined ? [] : [String(own.fsGroup)],
    readOnlyRoot: own.readOnlyRootFilesystem === true,
    capabilitiesDropped: own.capabilities?.drop ?? [],
    noNewPrivileges: own.allowPrivilegeEscalation === false,
    init: false,
    ...(memoryBytesMax !== undefined && { memoryBytesMax }),
    mounts: mountsOf(pod, container, objects, report),
    tmpfs: [],
    hostNames: services.map(({ metadata }) => metadata.name),
    ports: services.flatMap((service) => publishedBy(service, container, report)),
    probes,
    graceSeconds: spec.terminationGracePeriodSeconds ?? 30,
    startsAfter: [],
  };
}

function selects(selector: Labels, labels: Labels): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}

function environmentOf(
  container: Container,
  objects: readonly KubernetesObject[],
  report: Report,
): Readonly<Record<string, string>> {
  const entries = (container.env ?? []).map(({ name, value, valueFrom }) => {
    if (valueFrom === undefined) return [name, value ?? ""] as const;
    const [kind, ref] =
      valueFrom.configMapKeyRef === undefined
        ? (["Secret", valueFrom.secretKeyRef] as const)
        : (["ConfigMap", valueFrom.configMapKeyRef] as const);
    const found = ref && filesOf(kind, ref.name, objects)?.[ref.key];
    if (found === undefined) report(`${name}: there is no key ${ref?.key} in ${kind} ${ref?.name}`);
    return [name, found?.toString() ?? ""] as const;
  });
  return Object.fromEntries(entries);
}

function filesOf(
  kind: "ConfigMap" | "Secret",
  name: string,
  objects: readonly KubernetesObject[],
): Readonly<Record<string, Buffer>> | undefined {
  const object = objects.find((one) => one.kind === kind && one.metadata.name === name);
  if (object === undefined) return undefined;
  const { data = {}, stringData = {} } = object;
  const encoding = kind === "Secret" ? "base64" : "utf8";
  return Object.fromEntries([
    ...Object.entries(data).map(([key, text]) => [key, Buffer.from(text, encoding)] as const),
    ...Object.entries(stringData).map(([key, text]) => [key, Buffer.from(text)] as const),
  ]);
}

function mountsOf(pod: Pod, container: Container, objects: readonly KubernetesObject[], report: Report): Mount[] {
  return (container.volumeMounts ?? []).flatMap(({ name, mountPath, readOnly = false }) => {
    const source = sourceOf(name, pod, objects, report);
    return source === undefined ? [] : [{ target: mountPath, readOnly, source }];
  });
}

function sourceOf(
  name: string,
  { owner, name: pod, spec, claims }: Pod,
  objects: readonly KubernetesObject[],
  report: Report,
): Mount["source"] | undefined {
  const group = spec.securityContext?.fsGroup;
  const folder = (folderName: string): Mount["source"] => ({
    kind: "folder",
    name: folderName,
    ...(group !== undefined && { group }),
  });
  if (claims.includes(name)) return folder(`${name}-${pod}`);
  const volume = spec.volumes?.find((one) => one.name === name);
  const kind = volume?.configMap ? "ConfigMap" : "Secret";
  const from = volume?.configMap?.name ?? volume?.secret?.secretName;
  if (from !== undefined) {
    const files = filesOf(kind, from, objects);
    if (files !== undefined)
      return { kind: "files", files, mode: (volume?.configMap ?? volume?.secret)?.defaultMode ?? FILE_MODE };
    report(`there is no ${kind} ${from}, which its volume ${name} is`);
  } else if (volume?.persistentVolumeClaim) return folder(`claim-${volume.persistentVolumeClaim.claimName}`);
  else if (volume?.emptyDir) return folder(`empty-${owner}-${pod}-${name}`);
  else report(`there is no volume ${name} that this program knows`);
  return undefined;
}

function probesOf(container: Container, report: Report): Probe[] {
  const { startupProbe, readinessProbe, livenessProbe } = container;
  const named = [
    ["startup", startupProbe],
    ["readiness", readinessProbe],
    ["liveness", livenessProbe],
  ] as const;
  return named.flatMap(([name, probe]) => {
    const at = probe?.httpGet ?? probe?.tcpSocket;
    if (at === undefined) return [];
    const port = portOf(at.port, container);
    if (port === undefined) {
      report(`its ${name} probe asks port ${at.port}, which it does not have`);
      return [];
    }
    const timeoutMs = (probe?.timeoutSeconds ?? 1) * 1_000;
    const path = probe?.httpGet?.path;
    return [{ name, timeoutMs, ask: path === undefined ? { kind: "tcp", port } : { kind: "http", port, path } }];
  });
}

function portOf(port: string | number, container: Container): number | undefined {
  if (typeof port === "number") return port;
  return container.ports?.find(({ name }) => name === port)?.containerPort;
}

function publishedBy({ metadata, spec }: KubernetesObject, container: Container, report: Report): PublishedPort[] {
  if (spec?.type !== "LoadBalancer") return [];
  return (spec.ports ?? []).flatMap(({ port, targetPort }) => {
    const inside = portOf(targetPort, container);
    if (inside === undefined) report(`Service ${metadata.name} leads to port ${targetPort}, which it does not have`);
    return inside === undefined ? [] : [{ host: port, container: inside }];
  });
}
