/** The digests that the configured NAME@ALIAS mean now. A reference that names no package is reported once, until it does. */
import type { Digest } from "@tributary/kernel";
import { type ModelReference, type ModelTable, resolveReference } from "@tributary/models";
import type { Telemetry } from "@tributary/telemetry";
import { referenceUnresolved } from "../events.ts";

export class NamedPackages {
  readonly #references: readonly ModelReference[];
  readonly #models: ModelTable;
  readonly #telemetry: Telemetry;
  readonly #unresolved = new Map<ModelReference, string>();
  #asOf = -1;

  constructor(references: readonly ModelReference[], models: ModelTable, telemetry: Telemetry) {
    this.#references = references;
    this.#models = models;
    this.#telemetry = telemetry;
  }

  /** Undefined: no record has come since the last call. */
  changed(): readonly Digest[] | undefined {
    if (this.#asOf === this.#models.changes) return undefined;
    this.#asOf = this.#models.changes;
    return this.#references.flatMap((reference) => this.#digestOf(reference) ?? []);
  }

  #digestOf(reference: ModelReference): Digest | undefined {
    const resolved = resolveReference(this.#models, reference);
    if (resolved.kind === "model") {
      this.#unresolved.delete(reference);
      return resolved.model.modelDigest;
    }
    const { code, reason } = resolved;
    if (this.#unresolved.get(reference) === code) return undefined;
    this.#unresolved.set(reference, code);
    const name = `${reference.name}@${reference.which}`;
    this.#telemetry.emit(referenceUnresolved, { reference: name, code, reason });
    return undefined;
  }
}
