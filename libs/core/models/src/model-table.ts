/**
 * Versions of models and their aliases: a fold of models.v1 and models.aliases.v1.
 *
 * Records go in as they are read, and a writer's own once Kafka has them; versions come out by name, by alias, and by the
 * digest that devices report.
 */
import type { Model, ModelAliases, ValidationSet } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";

/** The key of a version's record. */
export const modelKey = ({ name, version }: Pick<Model, "name" | "version">): string => `${name}/${version}`;

/** A tombstone, null, is known by its record's key. */
type Keyed = { readonly key: string | null };

export class ModelTable {
  readonly #models = new Map<string, Model>();
  readonly #byDigest = new Map<string, Model>();
  readonly #aliases = new Map<string, ModelAliases>();
  #changes = 0;

  /** Grows with every record. */
  get changes(): number {
    return this.#changes;
  }

  get count(): number {
    return this.#models.size;
  }

  /** What a record of models.v1 holds. */
  readonly onModel = (model: Model | null, { key }: Keyed): void => {
    if (model !== null) this.applyModel(model);
    else this.#removeModel(key ?? "");
  };

  /** What a record of models.aliases.v1 holds. */
  readonly onAliases = (aliases: ModelAliases | null, { key }: Keyed): void => {
    if (aliases !== null) this.applyAliases(aliases);
    else if (this.#aliases.delete(key ?? "")) this.#changes += 1;
  };

  applyModel(model: Model): void {
    this.#removeModel(modelKey(model));
    this.#models.set(modelKey(model), model);
    this.#byDigest.set(model.modelDigest, model);
  }

  #removeModel(key: string): void {
    this.#changes += 1;
    const before = this.#models.get(key);
    if (before === undefined) return;
    this.#models.delete(key);
    const { modelDigest } = before;
    if (this.#byDigest.get(modelDigest) !== before) return;
    const other = [...this.#models.values()].find((model) => model.modelDigest === modelDigest);
    if (other === undefined) this.#byDigest.delete(modelDigest);
    else this.#byDigest.set(modelDigest, other);
  }

  applyAliases(aliases: ModelAliases): void {
    this.#changes += 1;
    this.#aliases.set(aliases.name, aliases);
  }

  get(name: string, version: string): Model | undefined {
    return this.#models.get(modelKey({ name, version }));
  }

  byDigest(modelDigest: string): Model | undefined {
    return this.#byDigest.get(modelDigest);
  }

  byAlias(name: string, alias: string): Model | undefined {
    const aliases = this.aliases(name);
    const version = Object.hasOwn(aliases, alias) ? aliases[alias] : undefined;
    return version === undefined ? undefined : this.get(name, version);
  }

  /** By its version, else by an alias. */
  named(name: string, which: string): Model | undefined {
    return this.get(name, which) ?? this.byAlias(name, which);
  }

  /** Every model's version with this alias. */
  withAlias(alias: string): readonly Model[] {
    return [...this.#aliases.keys()].flatMap((name) => this.byAlias(name, alias) ?? []);
  }

  /** By name, the newest first. */
  list(): readonly Model[] {
    return [...this.#models.values()].sort((a, b) =>
      a.name === b.name ? b.pushedAt - a.pushedAt || (a.version < b.version ? 1 : -1) : a.name < b.name ? -1 : 1,
    );
  }

  /** The newest first. */
  versions(name: string): readonly Model[] {
    return this.list().filter((model) => model.name === name);
  }

  /** Of models that have versions. */
  names(): readonly string[] {
    return [...new Set(this.list().map(({ name }) => name))];
  }

  /** Version by alias. */
  aliases(name: string): Readonly<Record<string, string>> {
    return this.#aliases.get(name)?.aliases ?? {};
  }

  aliasesRecord(name: string): ModelAliases | undefined {
    return this.#aliases.get(name);
  }

  /** Any of them, by anybody. */
  aliasesChangedAt(name: string): Instant {
    return this.#aliases.get(name)?.changedAt ?? Number.NEGATIVE_INFINITY;
  }

  aliasesOf({ name, version }: Pick<Model, "name" | "version">): readonly string[] {
    return Object.entries(this.aliases(name))
      .filter(([, own]) => own === version)
      .map(([alias]) => alias)
      .sort();
  }

  /** The frames that were pushed for it. */
  validation(name: string): ValidationSet | null {
    return this.#aliases.get(name)?.validation ?? null;
  }
}
