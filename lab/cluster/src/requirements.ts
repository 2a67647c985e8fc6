/** What this machine lacks for a node; all of it is named at once, with the command that installs it. Pure. */

/** Program, and Debian's package with it. */
const PROGRAMS = [
  ["containerd", "containerd"],
  ["runc", "runc"],
  ["etcd", "etcd-server"],
  ["iptables", "iptables"],
  ["ipset", "ipset"],
  ["ip", "iproute2"],
  ["unshare", "util-linux"],
  ["mount", "mount"],
  ["sysctl", "procps"],
] as const;
const PLUGIN = ["/usr/lib/cni/bridge", "containernetworking-plugins"] as const;

export const GO_ADVICE = "Go 1.26 or newer is needed to build Kubernetes, once: https://go.dev/dl";

export type Machine = {
  readonly platform: string;
  readonly isRoot: boolean;
  readonly memoryKib: number;
  readonly cores: number;
  /** Whether a program is on PATH, or a file exists. */
  readonly has: (programOrFile: string) => boolean;
};

/** Sentences for a person; none when a node can start. */
export function problemsOf(machine: Machine, wanted: { readonly cores: number; readonly memoryMib: number }): string[] {
  if (machine.platform !== "linux") return [`a node needs Linux: this is ${machine.platform}`];
  const problems: string[] = [];
  if (!machine.isRoot) problems.push("a node needs root, for namespaces and mounts of its own: sudo npm run cluster");
  const packages = [...PROGRAMS, PLUGIN].filter(([program]) => !machine.has(program)).map(([, name]) => name);
  if (packages.length > 0) {
    problems.push(`missing programs: apt-get install --no-install-recommends ${[...new Set(packages)].join(" ")}`);
  }
  if (machine.cores < wanted.cores)
    problems.push(`a node has ${wanted.cores} cores: this machine has ${machine.cores}`);
  const memoryMib = Math.floor(machine.memoryKib / 1_024);
  if (memoryMib < wanted.memoryMib) {
    problems.push(`a node has ${wanted.memoryMib} MiB for pods alone: this machine has ${memoryMib} MiB`);
  }
  return problems;
}

const EVICTION_MIB = 100;

/** The kubelet's settings that leave exactly `wanted` for pods, of a machine of any size. */
export function reservationOf(
  machine: Pick<Machine, "cores" | "memoryKib">,
  wanted: { readonly cores: number; readonly memoryMib: number },
) {
  return {
    systemReserved: {
      cpu: `${machine.cores - wanted.cores}`,
      memory: `${Math.max(0, machine.memoryKib - (wanted.memoryMib + EVICTION_MIB) * 1_024)}Ki`,
    },
    evictionHard: {
      "memory.available": `${EVICTION_MIB}Mi`,
      "nodefs.available": "1%",
      "imagefs.available": "1%",
      "nodefs.inodesFree": "1%",
    },
  };
}
