/** The node's folders, addresses and size. */
import { join, resolve } from "node:path";
import { repositoryRoot } from "@tributary/testing";

const local = join(repositoryRoot, ".local");
/** Of one node; elsewhere for tests, which run beside a person's. */
export const clusterDir: string = resolve(process.env.TRIBUTARY_CLUSTER_DIR ?? join(local, "cluster"));
/** Programs that are built once and used by every node. */
export const programsDir: string = join(local, "cluster-programs");

export const NODE_NAME = "node";
export const DOMAIN = "cluster.local";
export const NAMESPACE = "tributary";
export const POD_NETWORK = "10.42.0.0/24";
export const SERVICE_NETWORK = "10.43.0.0/16";
export const API_PORT = 6443;
export const KUBELET_PORT = 10_250;

/** What pods may request: the smallest machine that the documentation names. */
export const ALLOCATABLE = { cores: 2, memoryMib: 4_096 } as const;

/** The folder of a node, and what is in it. */
export type Layout = ReturnType<typeof layoutOf>;
export function layoutOf(dir: string) {
  const at = (...parts: string[]) => join(dir, ...parts);
  return {
    dir,
    /** Who runs, and with which addresses (state.ts). */
    state: at("state.json"),
    kubeconfig: at("kubeconfig"),
    /** The node's progress, line by line. */
    log: at("node.log"),
    logs: at("logs"),
    bin: at("bin"),
    /** Images outlast a node: importing them again takes longer than everything else. */
    containerd: at("containerd"),
    /** Everything that ends with the node. */
    run: at("run"),
  };
}

/** The network between this machine and a node: /30 networks, of which each node takes a free one. */
export type Link = {
  /** Name of the interface on this machine; it goes when the node does. */
  readonly device: string;
  readonly host: string;
  readonly node: string;
};
export const linkOf = (n: number): Link => ({
  device: `tributary${n}`,
  host: `10.99.${n}.2`,
  node: `10.99.${n}.1`,
});
export const LINKS_MAX = 32;
