/** Models and their aliases as the registry tells them, and which package a specification means. */
import type { Model, ModelAliases } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";

export class ModelTable {
  readonly #byKey = new Map<string, Model>();
  readonly #byDigest = new Map<string, Model>();
  readonly #aliases = new Map<string, ModelAliases>();
  #changes = 0;

  get changes(): number {
    return this.#changes;
  }

  model(key: string, model: Model | null): void {
    this.#changes += 1;
    const before = this.#byKey.get(key);
    if (before !== undefined) this.#byDigest.delete(before.modelDigest);
    if (model === null) this.#byKey.delete(key);
    else {
      this.#byKey.set(key, model);
      this.#byDigest.set(model.modelDigest, model);
    }
  }

  aliases(name: string, aliases: ModelAliases | null): void {
    this.#changes += 1;
    if (aliases === null) this.#aliases.delete(name);
    else this.#aliases.set(name, aliases);
  }

  ofDigest(modelDigest: string): Model | undefined {
    return this.#byDigest.get(modelDigest);
  }

  byVersion(name: string, version: string): Model | undefined {
    return this.#byKey.get(`${name}/${version}`);
  }

  byAlias(name: string, alias: string): Model | undefined {
    const version = this.#aliases.get(name)?.aliases[alias];
    return version === undefined ? undefined : this.byVersion(name, version);
  }

  aliasesOf(name: string): Readonly<Record<string, string>> {
    return this.#aliases.get(name)?.aliases ?? {};
  }

  /** When the aliases of this model changed last; 0: never. */
  aliasesChangedAt(name: string): Instant {
    return this.#aliases.get(name)?.changedAt ?? 0;
  }

  versionsOf(name: string): readonly string[] {
    return [...this.#byKey.values()].filter((model) => model.name === name).map(({ version }) => version);
  }

  names(): readonly string[] {
    return [...new Set([...this.#byKey.values()].map(({ name }) => name))].sort();
  }

  /** Every model with this alias. */
  withAlias(alias: string): readonly Model[] {
    return [...this.#aliases.keys()].flatMap((name) => this.byAlias(name, alias) ?? []);
  }
}

/** Whether the gate's word is of this champion. What somebody forced stays forced, and the champion is held against nobody. */
export const isJudgedAgainst = ({ gate, modelDigest }: Model, champion: Model | undefined): boolean =>
  champion === undefined ||
  champion.modelDigest === modelDigest ||
  (gate !== null && (gate.forcedBy !== "" || gate.championDigest === champion.modelDigest));

/** Whether the gate lets it through. */
/** Lines of its gate that more frames would decide, unless somebody forced it. */
export const unsureLines = ({ gate }: Model): readonly string[] =>
  gate === null || gate.forcedBy !== "" ? [] : gate.unsure;

export const hasPassed = ({ gate }: Model): boolean => gate !== null && (gate.passed || gate.forcedBy !== "");
