/**
 * What K3s brings with it and Kubernetes does not: names of services, addresses of load balancers (the node's own), and folders of the
 * node as volumes, by the storage class that is the default. It compares what there is with what there should be, every second.
 */
import { createSocket } from "node:dgram";
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { reasonOf, systemClock } from "@tributary/kernel";
import { DOMAIN } from "../settings.ts";
import { KubernetesApi } from "./api.ts";
import { answerOf, type EndpointSlice, type Records, recordsOf, type Service } from "./names.ts";

const EVERY_MS = 1_000;
const STORAGE_CLASS = "local-path";

export type AddonsOptions = {
  readonly kubeconfig: string;
  /** Of the node. */
  readonly address: string;
  readonly volumesDir: string;
};

type Claim = {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly uid: string };
  readonly spec: {
    readonly storageClassName?: string;
    readonly volumeName?: string;
    readonly accessModes: readonly string[];
    readonly resources: { readonly requests: { readonly storage: string } };
  };
};
type Volume = { readonly metadata: { readonly name: string }; readonly status?: { readonly phase?: string } };

/** Resolves once names are answered; continues until this process ends. */
export async function startAddons(options: AddonsOptions, say: (text: string) => void): Promise<void> {
  const api = new KubernetesApi(options.kubeconfig);
  await api.create("/apis/storage.k8s.io/v1/storageclasses", {
    metadata: { name: STORAGE_CLASS, annotations: { "storageclass.kubernetes.io/is-default-class": "true" } },
    provisioner: "tributary.invalid/local-path",
    reclaimPolicy: "Delete",
  });
  let records: Records = new Map();
  const refresh = async () => {
    const services = await api.list<Service>("/api/v1/services");
    records = recordsOf(services, await api.list<EndpointSlice>("/apis/discovery.k8s.io/v1/endpointslices"), DOMAIN);
    await publish(api, services, options.address);
    await provide(api, options.volumesDir);
  };
  await answerNames(options.address, () => records);
  await refresh();
  void (async () => {
    for (;;) {
      await systemClock.sleep(EVERY_MS);
      await refresh().catch((error) => say(reasonOf(error)));
    }
  })();
}

async function answerNames(address: string, records: () => Records): Promise<void> {
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    const answer = answerOf(query, records());
    if (answer !== undefined) socket.send(answer, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(53, address, resolve));
}

/** A load balancer's address is the node's: kube-proxy then takes its port there. */
async function publish(api: KubernetesApi, services: readonly Service[], address: string): Promise<void> {
  const waiting = services.filter(({ spec, status }) => spec.type === "LoadBalancer" && !status?.loadBalancer?.ingress);
  for (const { metadata } of waiting) {
    const path = `/api/v1/namespaces/${metadata.namespace}/services/${metadata.name}/status`;
    await api.merge(path, { status: { loadBalancer: { ingress: [{ ip: address }] } } });
  }
}

/** A volume for each claim that has none; of a claim that is gone, volume and folder go as well. */
async function provide(api: KubernetesApi, volumesDir: string): Promise<void> {
  const path = "/api/v1/persistentvolumes";
  const volumes = await api.list<Volume>(path);
  for (const { metadata, status } of volumes) {
    if (status?.phase !== "Released") continue;
    await api.remove(`${path}/${metadata.name}`);
    rmSync(join(volumesDir, metadata.name), { recursive: true, force: true });
  }
  const known = new Set(volumes.map(({ metadata }) => metadata.name));
  for (const { metadata, spec } of await api.list<Claim>("/api/v1/persistentvolumeclaims")) {
    const name = `pvc-${metadata.uid}`;
    if (spec.volumeName || spec.storageClassName !== STORAGE_CLASS || known.has(name)) continue;
    const folder = join(volumesDir, name);
    mkdirSync(folder, { recursive: true });
    chmodSync(folder, 0o777); // As K3s does: whoever has the claim may write.
    await api.create(path, {
      metadata: { name },
      spec: {
        capacity: spec.resources.requests,
        accessModes: spec.accessModes,
        storageClassName: STORAGE_CLASS,
        persistentVolumeReclaimPolicy: "Delete",
        claimRef: { namespace: metadata.namespace, name: metadata.name, uid: metadata.uid },
        hostPath: { path: folder },
      },
    });
  }
}
