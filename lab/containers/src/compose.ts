/**
 * docker-compose.yml, as containers: `docker compose up` without an engine. Kept are images, commands, environment with `${NAME:-default}`
 * and `${NAME:?message}`, volumes, tmpfs, ports, health checks, conditions of `depends_on`, read-only roots, capabilities, and init.
 */
import { join } from "node:path";
import type { Mount, Parsed, Probe, PublishedPort, Workload } from "./workload.ts";

export type ComposeFile = {
  readonly services: Readonly<Record<string, ComposeService>>;
};
type ComposeService = {
  readonly image: string;
  readonly profiles?: readonly string[];
  readonly command?: readonly string[];
  readonly restart?: string;
  readonly init?: boolean;
  readonly stop_grace_period?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly environment?: Readonly<Record<string, string | number>>;
  readonly volumes?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly ports?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[]; readonly timeout?: string };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
};

const STATES: Readonly<Record<string, Workload["startsAfter"][number]["state"]>> = {
  service_started: "started",
  service_healthy: "ready",
  service_completed_successfully: "completed",
};
/** Compose gives so much where a service names none. */
const GRACE_SECONDS = 10;

/** `dir`: of the file. `without`: services for which there is no image. */
export function composeWorkloads(
  file: ComposeFile,
  {
    dir,
    env,
    tag,
    without = [],
  }: {
    readonly dir: string;
    readonly env: Readonly<Record<string, string>>;
    /** Of images that the file names without one. */
    readonly tag: string;
    readonly without?: readonly string[];
  },
): Parsed {
  const problems: string[] = [];
  const workloads = Object.entries(file.services)
    .filter(([name, { profiles = [] }]) => profiles.length === 0 && !without.includes(name))
    .map(([name, service]): Workload => {
      const report = (problem: string) => void problems.push(`${name}: ${problem}`);
      const value = (text: string) => interpolated(text, env, report);
      const entries = Object.entries(service.environment ?? {}).map(([key, text]) => [key, value(String(text))]);
      return {
        kind: service.restart === "on-failure" ? "job" : "service",
        name,
        image: service.image.includes(":") ? service.image : `${service.image}:${tag}`,
        args: service.command ?? [],
        env: Object.fromEntries(entries),
        groups: [],
        readOnlyRoot: service.read_only === true,
        capabilitiesDropped: service.cap_drop ?? [],
        noNewPrivileges: service.security_opt?.includes("no-new-privileges:true") === true,
        init: service.init === true,
        mounts: (service.volumes ?? []).map((text) => mountOf(text, dir)),
        tmpfs: service.tmpfs ?? [],
        hostNames: [name],
        ports: (service.ports ?? []).map((text) => portOf(text, report)),
        probes: probesOf(service, report),
        graceSeconds: graceOf(service, report),
        startsAfter: Object.entries(service.depends_on ?? {}).map(([other, { condition }]) => {
          const state = STATES[condition];
          if (state === undefined) report(`depends_on ${other}: condition "${condition}" is unknown`);
          return { name: other, state: state ?? "started" };
        }),
      };
    });
  return { workloads, problems };
}

function interpolated(text: string, env: Readonly<Record<string, string>>, report: (problem: string) => void): string {
  return text.replace(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_, name: string, kind?: string, rest = "") => {
    const value = env[name] ?? "";
    if (value === "" && kind === "?") report(`${name} is not set: ${rest}`);
    return value === "" && kind === "-" ? rest : value;
  });
}

/** `90s`. */
function graceOf({ stop_grace_period: grace }: ComposeService, report: (problem: string) => void): number {
  if (grace === undefined) return GRACE_SECONDS;
  const seconds = Number(/^(\d+)s$/.exec(grace)?.[1] ?? Number.NaN);
  if (Number.isNaN(seconds)) report(`stop_grace_period: "${grace}" is not in whole seconds`);
  return seconds;
}

function mountOf(text: string, dir: string): Mount {
  const [from = "", target = "", mode] = text.split(":");
  const source = from.startsWith("./")
    ? ({ kind: "host", path: join(dir, from) } as const)
    : ({ kind: "volume", name: from } as const);
  return { target, readOnly: mode === "ro", source };
}

/** `[ADDRESS:]HOST:CONTAINER`. */
function portOf(text: string, report: (problem: string) => void): PublishedPort {
  const [container, host] = text.split(":").reverse().map(Number);
  if (!Number.isInteger(container) || !Number.isInteger(host)) report(`ports: "${text}" is not HOST:CONTAINER`);
  return { host: host ?? 0, container: container ?? 0 };
}

function probesOf({ healthcheck }: ComposeService, report: (problem: string) => void): Probe[] {
  if (healthcheck === undefined) return [];
  const [how, ...command] = healthcheck.test;
  if (how !== "CMD") report(`healthcheck: "${how}" is not CMD`);
  const seconds = Number(/^(\d+)s$/.exec(healthcheck.timeout ?? "30s")?.[1]);
  if (Number.isNaN(seconds)) report(`healthcheck: timeout "${healthcheck.timeout}" is not in seconds`);
  return [{ name: "health", timeoutMs: seconds * 1_000, ask: { kind: "exec", command } }];
}
