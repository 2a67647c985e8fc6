/**
 * What runs on the node, and how: command lines and files as Kubernetes, etcd and containerd document them. Pure.
 *
 * Only one node exists, so nothing elects a leader; its own loopback address carries what only its own programs need.
 */
import { API_PORT, DOMAIN, type Layout, NODE_NAME, POD_NETWORK, SERVICE_NETWORK } from "../settings.ts";

export type NodeProgram = { readonly name: string; readonly command: string; readonly args: readonly string[] };

export type NodeOptions = {
  readonly layout: Layout;
  readonly address: string;
  /** Of its control groups. */
  readonly group: string;
  readonly reservation: { readonly systemReserved: object; readonly evictionHard: object };
  /** Of the cluster's administrator. */
  readonly token: string;
};

export const PAUSE_IMAGE = "docker.io/tributary-lab/pause:1";
export const ETCD = "http://127.0.0.1:2379";
/** containerd's own default: /run is the node's own (init.ts). */
const SOCKET = "/run/containerd/containerd.sock";

/** By name, in the order of their start. */
export function programsOf({ layout, address }: NodeOptions) {
  const { run, kubeconfig, containerd } = layout;
  const program = (name: string, args: readonly string[], command = name): NodeProgram => ({ name, command, args });
  const keys = `${run}/api`;
  return {
    etcd: program("etcd", [
      `--data-dir=${run}/etcd/data`,
      "--log-level=warn",
      `--listen-client-urls=${ETCD}`,
      `--advertise-client-urls=${ETCD}`,
      "--listen-peer-urls=http://127.0.0.1:2380",
    ]),
    containerd: program("containerd", ["--config", `${run}/containerd.toml`, "--root", containerd]),
    apiServer: program("kube-apiserver", [
      `--etcd-servers=${ETCD}`,
      `--secure-port=${API_PORT}`,
      `--cert-dir=${keys}`,
      `--advertise-address=${address}`,
      `--service-cluster-ip-range=${SERVICE_NETWORK}`,
      `--token-auth-file=${keys}/tokens.csv`,
      "--authorization-mode=RBAC",
      "--allow-privileged=true",
      // The node's name is in no DNS.
      "--kubelet-preferred-address-types=InternalIP",
      `--service-account-issuer=https://kubernetes.default.svc.${DOMAIN}`,
      `--service-account-key-file=${keys}/accounts.key`,
      `--service-account-signing-key-file=${keys}/accounts.key`,
    ]),
    controllers: program("kube-controller-manager", [
      `--kubeconfig=${kubeconfig}`,
      "--leader-elect=false",
      `--cert-dir=${keys}`,
      `--service-account-private-key-file=${keys}/accounts.key`,
      `--root-ca-file=${keys}/apiserver.crt`,
    ]),
    scheduler: program("kube-scheduler", [`--kubeconfig=${kubeconfig}`, "--leader-elect=false", `--cert-dir=${keys}`]),
    kubelet: program("kubelet", [
      `--config=${run}/kubelet.yaml`,
      `--kubeconfig=${kubeconfig}`,
      `--root-dir=${run}/kubelet`,
      `--cert-dir=${run}/kubelet/pki`,
      `--hostname-override=${NODE_NAME}`,
      `--node-ip=${address}`,
    ]),
    proxy: program("kube-proxy", [
      `--kubeconfig=${kubeconfig}`,
      `--hostname-override=${NODE_NAME}`,
      "--proxy-mode=iptables",
      `--cluster-cidr=${POD_NETWORK}`,
      // These settings are the whole machine's.
      "--conntrack-max-per-core=0",
      "--conntrack-min=0",
      "--conntrack-tcp-timeout-established=0",
      "--conntrack-tcp-timeout-close-wait=0",
    ]),
    // The bridge plugin ignores NetworkPolicies; of this one, only they are used.
    policies: program("kube-router", [
      `--kubeconfig=${kubeconfig}`,
      `--hostname-override=${NODE_NAME}`,
      "--run-firewall=true",
      "--run-router=false",
      "--run-service-proxy=false",
      `--service-cluster-ip-range=${SERVICE_NETWORK}`,
    ]),
  };
}

/** Text by the name of the file below the node's `run` folder. */
export function filesOf(options: NodeOptions): Readonly<Record<string, string>> {
  const { address, token } = options;
  return {
    "containerd.toml": containerdConfig(options),
    "kubelet.yaml": JSON.stringify(kubeletConfig(options), null, 2),
    "cni/10-pods.conflist": JSON.stringify(podNetwork(options), null, 2),
    "api/tokens.csv": `${token},admin,admin,system:masters\n`,
    "resolv.conf": [
      `nameserver ${address}`,
      `search tributary.svc.${DOMAIN} svc.${DOMAIN} ${DOMAIN}`,
      "options ndots:5",
      "",
    ].join("\n"),
  };
}

export const kubeconfigOf = (address: string, token: string, authority: Buffer) => ({
  apiVersion: "v1",
  kind: "Config",
  clusters: [
    {
      name: "tributary",
      cluster: {
        server: `https://${address}:${API_PORT}`,
        "certificate-authority-data": authority.toString("base64"),
      },
    },
  ],
  users: [{ name: "admin", user: { token } }],
  contexts: [{ name: "tributary", context: { cluster: "tributary", user: "admin" } }],
  "current-context": "tributary",
});

function containerdConfig({ layout }: NodeOptions): string {
  const { run } = layout;
  return `version = 2
state = "/run/containerd"
oom_score = 0
disabled_plugins = [${["snapshotter.v1.btrfs", "snapshotter.v1.zfs", "snapshotter.v1.devmapper", "snapshotter.v1.aufs", "internal.v1.opt"].map((name) => `"io.containerd.${name}"`).join(", ")}]
[grpc]
address = "${SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${PAUSE_IMAGE}"
disable_apparmor = true
# A lower score than its own cannot be set where root lacks CAP_SYS_RESOURCE, as in a container.
restrict_oom_score_adj = true
stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "${run}/cni"
`;
}

function podNetwork({ layout }: NodeOptions) {
  const ipam = {
    type: "host-local",
    dataDir: `${layout.run}/ipam`,
    ranges: [[{ subnet: POD_NETWORK }]],
    routes: [{ dst: "0.0.0.0/0" }],
  };
  const bridge = { type: "bridge", bridge: "cni0", isGateway: true, hairpinMode: true, ipam };
  const portmap = { type: "portmap", capabilities: { portMappings: true } };
  return { cniVersion: "0.4.0", name: "pods", plugins: [bridge, portmap] };
}

function kubeletConfig({ layout, address, group, reservation }: NodeOptions) {
  const { run } = layout;
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    failCgroupV1: false,
    failSwapOn: false,
    cgroupDriver: "cgroupfs",
    cgroupRoot: `/${group}`,
    containerRuntimeEndpoint: `unix://${SOCKET}`,
    // Only the node itself reaches its port (init.ts).
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: "AlwaysAllow" },
    clusterDNS: [address],
    clusterDomain: DOMAIN,
    resolvConf: "",
    podLogsDir: "/var/log/pods",
    volumePluginDir: `${run}/kubelet/volume-plugins`,
    ...reservation,
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    maxPods: 60,
    oomScoreAdj: 0,
  };
}
