/** A model that becomes challenger, and that the gate lets through, starts its rollout by itself.
 *
 * A1. Once for each package: the rollout's uid is of its name and digest, so of two instances that start it one wins, and a
 *     rollout that ended is not begun again.
 * A2. What cannot begin now (too few devices, another rollout at work) is named, and tried again later. */
import type { Model } from "@tributary/contracts";
import { Failure } from "@tributary/kernel";
import { hasPassed, type ModelTable } from "./models/model-table.ts";

export const BY = "rollout-manager";

export const autoUidOf = ({ name, modelDigest }: Pick<Model, "name" | "modelDigest">): string =>
  `${name}-${modelDigest.slice(0, 12)}`;

/** Challengers without a rollout. */
export function waitingChallengers(
  models: ModelTable,
  defaults: Readonly<Record<string, unknown>>,
  isRolledOut: (modelDigest: string) => boolean,
): readonly Model[] {
  return models
    .withAlias("challenger")
    .filter(
      (model) =>
        defaults[model.name] !== undefined &&
        model.state === "LISTED" &&
        hasPassed(model) &&
        !isRolledOut(model.modelDigest),
    );
}

export const codeOfRefusal = (error: unknown): string => (error instanceof Failure ? error.code : "unexpected");
