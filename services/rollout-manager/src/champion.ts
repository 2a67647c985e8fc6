/** Makes a model champion when its rollout has reached every device. The registry is the only writer of aliases, so it is asked.
 *
 * C1. Only if nobody changed the model's aliases since the rollout completed: a person's word is newer.
 * C2. Idempotent, so each instance may ask, and asks again until the alias stands. */
import type { Model } from "@tributary/contracts";
import { type Clock, reasonOf } from "@tributary/kernel";
import type { Rollout, RolloutController } from "@tributary/rollouts";
import type { Telemetry } from "@tributary/telemetry";
import { BY } from "./by.ts";
import { aliasFailed, aliasMoved } from "./events.ts";
import type { ModelTable } from "./models/model-table.ts";

export type RegistryAccess = {
  readonly url: string;
  readonly token?: string | undefined;
  readonly timeoutMs: number;
};

export type ChampionsOptions = {
  readonly access: RegistryAccess;
  readonly controller: Pick<RolloutController, "rollouts">;
  readonly models: ModelTable;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

type Promotion = { readonly name: string; readonly version: string };
type Known = Pick<ChampionsOptions, "controller" | "models">;

const EVERY_MS = 5_000;

export class Champions {
  readonly #options: ChampionsOptions;
  #dueAt = 0;

  constructor(options: ChampionsOptions) {
    this.#options = options;
  }

  /** Of a model's name: the one that is to become it now, else the one that is. */
  championOf(name: string): Model | undefined {
    const { models } = this.#options;
    const next = promotionsOf(this.#options).find((promotion) => promotion.name === name);
    return next === undefined ? models.byAlias(name, "champion") : models.byVersion(name, next.version);
  }

  /** Asks for what is to become champion, now and then. */
  round(): void {
    const { access, clock, telemetry } = this.#options;
    const now = clock.monotonicMs();
    if (now < this.#dueAt) return;
    this.#dueAt = now + EVERY_MS;
    for (const promotion of promotionsOf(this.#options)) {
      const { name: model, version } = promotion;
      makeChampion(promotion, access).then(
        () => telemetry.emit(aliasMoved, { model, alias: "champion", version }),
        (error: unknown) => telemetry.emit(aliasFailed, { model: `${model}@${version}`, reason: reasonOf(error) }),
      );
    }
  }
}

/** What is to become champion now. */
function promotionsOf({ controller, models }: Known): readonly Promotion[] {
  const newest = new Map<string, Rollout>();
  for (const rollout of controller.rollouts) {
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

async function makeChampion({ name, version }: Promotion, { url, token, timeoutMs }: RegistryAccess): Promise<void> {
  const response = await fetch(`${url.replace(/\/$/, "")}/models/${encodeURIComponent(name)}/aliases/champion`, {
    method: "PUT",
    headers: { "content-type": "application/json", ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ version, by: BY }),
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (!response.ok) throw new Error(`${response.status} ${(await response.text()).slice(0, 300)}`);
  await response.body?.cancel();
}
