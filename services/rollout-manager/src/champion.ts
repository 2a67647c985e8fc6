/** Makes a model champion when its rollout has reached every device, by a call to the model registry, the only writer of aliases.
 *
 * C1. The alias is moved only if nobody changed the model's aliases since the rollout completed: a person's change is newer.
 * C2. The call is idempotent, so each instance may make it, and repeats it until the alias is set.
 * C3. An undone rollout reverts the alias: the model that its devices were rolled back to becomes champion, if the new one still is.
 * C4. A rollout to a part of the fleet does not decide for the rest: while a device outside its selector runs another version
 *     of the model, the champion stays. Devices that joined later, and that the selector matches, do not count. */
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

export type SchemaRegistryAccess = {
  readonly url: string;
  readonly token?: string | undefined;
  readonly timeoutMs: number;
};

export type ChampionsOptions = {
  readonly access: SchemaRegistryAccess;
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

  /** The model that is about to become champion of this name, else the present champion. */
  championOf(name: string): Model | undefined {
    const { models } = this.#options;
    const next = promotionsOf(this.#options).find((promotion) => promotion.name === name);
    return next === undefined ? models.byAlias(name, "champion") : models.get(name, next.version);
  }

  /** Moves the aliases that are due, at most every `EVERY_MS`. */
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

/** The models that are to become champion: for each name, by the newest rollout that may decide it. */
function promotionsOf(known: Known): readonly Promotion[] {
  const { controller, models } = known;
  const decided = new Map<string, Promotion | null>();
  const newestFirst = [...controller.rollouts].sort((a, b) => b.changedAt - a.changedAt);
  for (const rollout of newestFirst) {
    const finding = findingOf(rollout, models);
    if (finding === null) continue;
    const { name, version } = finding.champion;
    if (decided.has(name) || models.aliasesChangedAt(name) > rollout.changedAt) continue; // C1
    // The whole fleet is examined only if the alias would change.
    if (models.aliases(name).champion === version) decided.set(name, null);
    else if (isOfAll(finding, known)) decided.set(name, { name, version }); // C4
  }
  return [...decided.values()].filter((promotion) => promotion !== null);
}

/** The champion by a rollout that ended; null: it does not decide it. */
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

async function makeChampion({ name, version }: Promotion, access: SchemaRegistryAccess): Promise<void> {
  await clientOf(modelRegistryApi, access).models.alias({ name, alias: "champion", body: { version, by: BY } });
}
