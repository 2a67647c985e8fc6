/**
 * One program in a container: what manifests of Kubernetes and services of Compose have in common. `kubernetes.ts` and
 * `compose.ts` read theirs into it, `runner.ts` runs it with podman as it says.
 */
export type Workload = {
  /** Of its container. */
  readonly name: string;
  /** A job ends with 0 and is started again until it does; a service is to run, and to be ready. */
  readonly kind: "service" | "job";
  readonly image: string;
  /** In place of the image's entrypoint. */
  readonly command?: readonly string[];
  readonly args: readonly string[];
  /** `uid:gid`; the image's own if undefined. */
  readonly user?: string;
  readonly groups: readonly string[];
  readonly readOnlyRoot: boolean;
  readonly capabilitiesDropped: readonly string[];
  readonly noNewPrivileges: boolean;
  readonly init: boolean;
  readonly memoryBytesMax?: number;
  readonly env: Readonly<Record<string, string>>;
  readonly mounts: readonly Mount[];
  readonly tmpfs: readonly string[];
  /** By which others reach it. */
  readonly hostNames: readonly string[];
  readonly ports: readonly PublishedPort[];
  /** All that must answer before it is ready, in this order. */
  readonly probes: readonly Probe[];
  /** Between SIGTERM and SIGKILL. */
  readonly graceSeconds: number;
  readonly startsAfter: readonly { readonly name: string; readonly state: "started" | "ready" | "completed" }[];
};

export type PublishedPort = { readonly host: number; readonly container: number };

export type Mount = {
  readonly target: string;
  readonly readOnly: boolean;
  readonly source:
    | { readonly kind: "files"; readonly files: Readonly<Record<string, Buffer>>; readonly mode: number }
    /** Kept between containers that name it; `group` may write. */
    | { readonly kind: "folder"; readonly name: string; readonly group?: number }
    /** As an engine's: filled from the image, with its owners. */
    | { readonly kind: "volume"; readonly name: string }
    | { readonly kind: "host"; readonly path: string };
};

export type Probe = {
  /** For messages: startup, readiness, liveness. */
  readonly name: string;
  readonly timeoutMs: number;
  readonly ask:
    | { readonly kind: "http"; readonly port: number; readonly path: string }
    | { readonly kind: "tcp"; readonly port: number }
    | { readonly kind: "exec"; readonly command: readonly string[] };
};

/** What a manifest asks for that cannot be: each would keep its container from starting. */
export type Parsed = { readonly workloads: readonly Workload[]; readonly problems: readonly string[] };

const UNITS: Readonly<Record<string, number>> = {
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  K: 1e3,
  M: 1e6,
  G: 1e9,
  "": 1,
};

/** Bytes of a quantity such as `768Mi`; undefined if it is none. */
export function bytesOf(quantity: string): number | undefined {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)([KMG]i?|)$/.exec(quantity) ?? [];
  const factor = UNITS[unit];
  return number === undefined || factor === undefined ? undefined : Number(number) * factor;
}
