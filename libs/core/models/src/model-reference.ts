/** How a configuration names a package: a folder, or NAME@VERSION or NAME@ALIAS of the model registry. */
import type { Model } from "@tributary/contracts";
import type { ModelTable } from "./model-table.ts";

export type ModelReference = { readonly name: string; readonly which: string };

const REFERENCE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63})@([A-Za-z0-9][A-Za-z0-9._-]{0,63})$/;

/** Why a text names no package: for the message about a wrong key. */
export const PACKAGE_EXPECTED = "expected a folder, or NAME@VERSION or NAME@ALIAS of the model registry";

/** A path with an @ is a folder only where it looks like a path: NAME@ALIAS that is malformed is no folder. */
export const isPackageName = (text: string): boolean =>
  text !== "" && (!text.includes("@") || text.includes("/") || REFERENCE.test(text));

/** Null: a folder. */
export function modelReferenceOf(text: string): ModelReference | null {
  const [, name, which] = REFERENCE.exec(text) ?? [];
  return name === undefined || which === undefined ? null : { name, which };
}

export type Resolved =
  | { readonly kind: "model"; readonly model: Model }
  /** `model-unknown`, `alias-unknown` or `model-revoked`, and what to do. */
  | { readonly kind: "none"; readonly code: string; readonly reason: string };

/** The version that a reference means now. */
export function resolveReference(models: ModelTable, { name, which }: ModelReference): Resolved {
  const model = models.named(name, which);
  if (model === undefined) {
    const versions = models.versions(name).map(({ version }) => version);
    if (versions.length === 0) {
      const reason = `the model registry has no model ${name}: tributary models push FOLDER`;
      return { kind: "none", code: "model-unknown", reason };
    }
    const known = versions.slice(0, 5).join(", ");
    const reason = `${name} has no version or alias ${which} (versions: ${known}): tributary models alias ${name}@VERSION ${which}`;
    return { kind: "none", code: "alias-unknown", reason };
  }
  if (model.state === "REVOKED") {
    const reason = `${name}@${model.version}, which ${name}@${which} names, was revoked: give ${which} to another version`;
    return { kind: "none", code: "model-revoked", reason };
  }
  return { kind: "model", model };
}
