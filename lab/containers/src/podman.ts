/** podman's command line for a workload, and podman itself. */
import { execFile } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "@tributary/kernel";
import type { Mount, Workload } from "./workload.ts";

const OUTPUT_BYTES_MAX = 16 << 20;
/** Machines without CAP_SYS_RESOURCE refuse what an engine asks for by default. */
const ULIMITS = ["nofile=20000:20000", "nproc=4096:4096"];

export class Podman {
  readonly #env: NodeJS.ProcessEnv;

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env;
  }

  /** Its standard output; throws Failure with the end of its error output. */
  async run(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try(...args);
    if (code === 0) return stdout.trim();
    const output = (stderr.trim() || stdout.trim()).slice(-1_500);
    throw new Failure("podman-failed", "give-up", `podman ${args.slice(0, 3).join(" ")}: ${output}`);
  }

  try(
    ...args: readonly string[]
  ): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
    return new Promise((done) => {
      execFile("podman", args, { env: this.#env, maxBuffer: OUTPUT_BYTES_MAX }, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        done({ code, stdout, stderr });
      });
    });
  }
}

/** The arguments of `podman run`. `network`: the host's, or one of podman's. `mounts`: as `prepareMount` returns them. */
export function runArguments(
  workload: Workload,
  { network, mounts, cgroup }: { network: string; mounts: readonly string[]; cgroup: string },
): string[] {
  const { user, memoryBytesMax, command } = workload;
  const options: (readonly [string, ...string[]] | false)[] = [
    ["--name", workload.name],
    ["--pull=never"],
    ["--detach"],
    ["--cgroup-parent", cgroup],
    ...ULIMITS.map((limit) => ["--ulimit", limit] as const),
    ["--network", network],
    ...(network === "host" ? [] : [["--hostname", workload.name] as const]),
    ...(network === "host" ? [] : workload.hostNames.map((name) => ["--network-alias", name] as const)),
    ...workload.ports.map(({ host, container }) => ["--publish", `${host}:${container}`] as const),
    user !== undefined && ["--user", user],
    ...workload.groups.map((group) => ["--group-add", group] as const),
    workload.readOnlyRoot && ["--read-only"],
    workload.readOnlyRoot && ["--read-only-tmpfs=false"],
    ...workload.capabilitiesDropped.map((name) => ["--cap-drop", name.toLowerCase()] as const),
    workload.noNewPrivileges && ["--security-opt", "no-new-privileges"],
    workload.init && ["--init"],
    // No swap beside it, as in a pod.
    memoryBytesMax !== undefined && ["--memory", String(memoryBytesMax)],
    memoryBytesMax !== undefined && ["--memory-swap", String(memoryBytesMax)],
    ...Object.entries(workload.env).map(([key, value]) => ["--env", `${key}=${value}`] as const),
    ...mounts.map((mount) => ["--volume", mount] as const),
    ...workload.tmpfs.map((path) => ["--tmpfs", path] as const),
    command !== undefined && ["--entrypoint", JSON.stringify(command)],
  ];
  return [
    "run",
    ...options.flatMap((option) => (option === false ? [] : option)),
    qualifiedImage(workload.image),
    ...workload.args,
  ];
}

/** As an engine completes a short name. */
export function qualifiedImage(image: string): string {
  return /^[^/]+[.:][^/]*\//.test(image) ? image : `docker.io/${image}`;
}

/** Makes what a mount shows, and returns podman's words for it. `dir`: where folders are. */
export function prepareMount({ source, target, readOnly }: Mount, owner: string, dir: string): string {
  const option = `${target}${readOnly ? ":ro" : ""}`;
  switch (source.kind) {
    case "host":
      return `${source.path}:${option}`;
    case "volume":
      return `${source.name}:${option}`;
    case "folder": {
      const path = join(dir, source.name);
      mkdirSync(path, { recursive: true });
      if (source.group !== undefined) chownSync(path, 0, source.group);
      chmodSync(path, source.group === undefined ? 0o777 : 0o2775);
      return `${path}:${option}`;
    }
    case "files": {
      const path = join(dir, `${owner}${target.replaceAll("/", "-")}`);
      mkdirSync(path, { recursive: true });
      chmodSync(path, 0o755);
      for (const [name, content] of Object.entries(source.files)) {
        writeFileSync(join(path, name), content);
        chmodSync(join(path, name), source.mode);
      }
      return `${path}:${option}`;
    }
    default:
      return source satisfies never;
  }
}
