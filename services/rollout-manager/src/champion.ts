/** Makes a model champion when its rollout has reached every device. The registry is the only writer of aliases, so it is asked.
 *
 * C1. Only if nobody changed the model's aliases since the rollout completed: a person's word is newer.
 * C2. Idempotent, so each instance may ask. */
import type { Rollout } from "@tributary/rollouts";
import type { ModelTable } from "./models/model-table.ts";

export type RegistryAccess = {
  readonly url: string;
  readonly token?: string | undefined;
  readonly timeoutMs: number;
};

export type Promotion = { readonly name: string; readonly version: string };

/** What is to become champion now. */
export function promotionsOf(rollouts: readonly Rollout[], models: ModelTable): readonly Promotion[] {
  const newest = new Map<string, Rollout>();
  for (const rollout of rollouts) {
    const model = models.ofDigest(rollout.modelDigest);
    if (rollout.phase !== "Healthy" || model?.state !== "LISTED") continue;
    const known = newest.get(model.name);
    if (known === undefined || known.changedAt <= rollout.changedAt) newest.set(model.name, rollout);
  }
  return [...newest].flatMap(([name, { modelDigest, changedAt }]) => {
    const version = models.ofDigest(modelDigest)?.version;
    if (version === undefined || models.aliasesOf(name).champion === version) return [];
    return models.aliasesChangedAt(name) > changedAt ? [] : [{ name, version }]; // C1
  });
}

export async function makeChampion({ name, version }: Promotion, access: RegistryAccess, by: string): Promise<void> {
  const { url, token, timeoutMs } = access;
  const response = await fetch(`${url.replace(/\/$/, "")}/models/${encodeURIComponent(name)}/aliases/champion`, {
    method: "PUT",
    headers: { "content-type": "application/json", ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ version, by }),
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (!response.ok) throw new Error(`${response.status} ${(await response.text()).slice(0, 300)}`);
  await response.body?.cancel();
}
