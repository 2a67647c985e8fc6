/** Makes a model champion when its rollout has reached every device. The registry is the only writer of aliases, so it is asked.
 *
 * C1. Only if nobody changed the model's aliases since the rollout completed: a person's word is newer.
 * C2. Idempotent, so each instance may ask, and asks again until the alias stands.
 * C3. A rollout that was undone reverts that: what its devices were rolled back to becomes champion, if the model still is.
 * C4. A rollout for a part of the fleet says nothing of the rest: while a device that its selector leaves out runs another
 *     version of the model, the champion stays. Devices that join later, and that it would have meant, do not count. */
import { clientOf, modelRegistryApi } from "@tributary/api";
import type { Model } from "@tributary/contracts";
import { type Clock, reasonOf } from "@tributary/kernel";
import type { ModelTable } from "@tributary/models";
import { isFinished, type Rollout, type RolloutController, stepOf } from "@tributary/rollouts";
import type { Telemetry } from "@tributary/telemetry";
import { BY } from "./by.ts";
import { isSelected } from "./creation/plan-rollout.ts";
import { aliasFailed, aliasMoved } from "./events.ts";
import type { FleetTable } from "./fleet/fleet-table.ts";

export type RegistryAccess = {
  readonly url: string;
  readonly token?: string | undefined;
  readonly timeoutMs: number;
};

export type ChampionsOptions = {
  readonly access: RegistryAccess;
  readonly controller: Pick<RolloutController, "rollouts">;
  readonly models: ModelTable;
  readonly fleet: Pick<FleetTable, "members" | "isRevoked" | "siteOf">;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

type Promotion = { readonly name: string; readonly version: string };
type Known = Pick<ChampionsOptions, "controller" | "models" | "fleet">;
type Finding = { readonly rollout: Rollout; readonly champion: Model };

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
    return next === undefined ? models.byAlias(name, "champion") : models.get(name, next.version);
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

/** What is to become champion now: of each model what the newest rollout says that may. */
function promotionsOf(known: Known): readonly Promotion[] {
  const { controller, models } = known;
  const decided = new Map<string, Promotion | null>();
  const newestFirst = [...controller.rollouts].sort((a, b) => b.changedAt - a.changedAt);
  for (const rollout of newestFirst) {
    const finding = findingOf(rollout, models);
    if (finding === null) continue;
    const { name, version } = finding.champion;
    if (decided.has(name) || models.aliasesChangedAt(name) > rollout.changedAt) continue; // C1
    // Asked of the whole fleet only where something would change.
    if (models.aliases(name).champion === version) decided.set(name, null);
    else if (isOfAll(finding, known)) decided.set(name, { name, version }); // C4
  }
  return [...decided.values()].filter((promotion) => promotion !== null);
}

/** What a rollout that ended says of who is champion; null: nothing. */
function findingOf(rollout: Rollout, models: ModelTable): Finding | null {
  const isUndone = rollout.aborted !== null && isFinished(rollout) && stepOf(rollout) === undefined;
  if (!isUndone && rollout.phase !== "Healthy") return null;
  const model = models.byDigest(rollout.modelDigest);
  const champion = isUndone ? models.byDigest(rollout.stableDigest) : model;
  if (model === undefined || champion?.state !== "LISTED" || champion.name !== model.name) return null;
  if (isUndone && models.aliases(model.name).champion !== model.version) return null; // C3
  return { rollout, champion };
}

/** C4 */
function isOfAll({ rollout, champion }: Finding, { models, fleet }: Known): boolean {
  const { selector, slot } = rollout.spec.spec;
  for (const device of fleet.members()) {
    const digest = device.slots[slot];
    if (digest === undefined || digest === champion.modelDigest) continue;
    if (models.byDigest(digest)?.name !== champion.name) continue;
    if (!isSelected(selector, device, fleet) && !fleet.isRevoked(device.deviceId)) return false;
  }
  return true;
}

async function makeChampion({ name, version }: Promotion, access: RegistryAccess): Promise<void> {
  await clientOf(modelRegistryApi, access).models.alias({ name, alias: "champion", body: { version, by: BY } });
}
