/**
 * Versions and aliases, as models.v1 and models.aliases.v1 tell them.
 *
 * D1. Kafka is the only database: this is a fold of the two topics, and of our own records once Kafka has them.
 */
import type { Model, ModelAliases, ValidationSet } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";

export const modelKey = ({ name, version }: { readonly name: string; readonly version: string }): string =>
  `${name}/${version}`;

export class ModelTable {
  readonly #models = new Map<string, Model>();
  readonly #aliases = new Map<string, ModelAliases>();

  applyModel(model: Model): void {
    this.#models.set(modelKey(model), model);
  }

  applyAliases(aliases: ModelAliases): void {
    this.#aliases.set(aliases.name, aliases);
  }

  get(name: string, version: string): Model | undefined {
    return this.#models.get(modelKey({ name, version }));
  }

  byDigest(modelDigest: string): Model | undefined {
    return this.list().find((model) => model.modelDigest === modelDigest);
  }

  /** By name, the newest first. */
  list(): readonly Model[] {
    return [...this.#models.values()].sort((a, b) =>
      a.name === b.name ? b.pushedAt - a.pushedAt || (a.version < b.version ? 1 : -1) : a.name < b.name ? -1 : 1,
    );
  }

  names(): readonly string[] {
    return [...new Set([...this.#models.values()].map(({ name }) => name))].sort();
  }

  /** That was pushed. */
  validation(name: string): ValidationSet | null {
    return this.#aliases.get(name)?.validation ?? null;
  }

  aliasesRecord(name: string): ModelAliases | undefined {
    return this.#aliases.get(name);
  }

  aliases(name: string): Readonly<Record<string, string>> {
    return this.#aliases.get(name)?.aliases ?? {};
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

  /** The version that has an alias. */
  aliased(name: string, alias: string): Model | undefined {
    const aliases = this.aliases(name);
    const version = Object.hasOwn(aliases, alias) ? aliases[alias] : undefined;
    return version === undefined ? undefined : this.get(name, version);
  }

  get count(): number {
    return this.#models.size;
  }
}
