/** What happens to the cluster while devices send frames, one after the other; each is over when all pods are ready again. */
import { NAMESPACE, NODE_NAME } from "../settings.ts";
import type { Release } from "./release.ts";
import type { Watch } from "./watch.ts";

export type Disturbance = { readonly name: string; act(): Promise<unknown> };

const KAFKA = "kafka";
/** A setting that restarts the pods of one service. */
const SETTING = { of: "router", value: "services.router.config.budget.fleetShareMax=0.25" } as const;

export async function disturbancesOf(release: Release, watch: Watch): Promise<readonly Disturbance[]> {
  const pods = await watch.pods();
  const remove = (pod: string) => release.kubectl("--namespace", NAMESPACE, "delete", "pod", pod, "--wait=false");
  const each = [...pods].filter(([service]) => service !== KAFKA).flatMap(([, names]) => names);
  return [
    ...each.map((pod) => ({ name: `delete ${withoutHashes(pod)}`, act: () => remove(pod) })),
    { name: "drain and uncordon the node", act: () => drain(release) },
    { name: "delete kafka", act: async () => remove((await watch.pods()).get(KAFKA)?.[0] ?? "") },
    { name: `helm upgrade: a setting of ${SETTING.of}`, act: () => release.upgrade(SETTING.value) },
    { name: "helm rollback", act: () => release.rollback() },
  ];
}

async function drain(release: Release): Promise<void> {
  await release.kubectl("drain", NODE_NAME, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s");
  await release.kubectl("uncordon", NODE_NAME);
}

/** `tributary-router-6f7c9d8b5-x2x4z` is one of `router`. */
const withoutHashes = (pod: string): string =>
  pod.replace(/^tributary-/, "").replace(/-[a-z0-9]{6,10}-[a-z0-9]{5}$/, "");
