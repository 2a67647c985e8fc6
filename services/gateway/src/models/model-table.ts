/**
 * Models and their aliases, as model-registry tells them in two compacted topics.
 */
import { type Model, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow, followAll } from "@tributary/kafka";
import { type ModelVersion, type ModelView, versionOf } from "./model.ts";

export class ModelTable {
  /** By name, then by version. */
  readonly #models = new Map<string, Map<string, Model>>();
  readonly #byDigest = new Map<string, Model>();
  readonly #aliases = new Map<string, Readonly<Record<string, string>>>();

  follow(context: FollowContext): Promise<Following> {
    return followAll([
      follow(context, topics.models, (model, { key }) => {
        const [name = "", version = ""] = key?.split("/") ?? [];
        if (model !== null) this.add(model);
        else this.#models.get(name)?.delete(version);
      }),
      follow(context, topics.modelAliases, (aliases, { key }) => {
        if (aliases !== null) this.#aliases.set(aliases.name, aliases.aliases);
        else this.#aliases.delete(key ?? "");
      }),
    ]);
  }

  add(model: Model): void {
    const versions = this.#models.get(model.name) ?? new Map<string, Model>();
    versions.set(model.version, model);
    this.#models.set(model.name, versions);
    this.#byDigest.set(model.modelDigest, model);
  }

  /** By name. */
  list(): ModelView[] {
    return [...this.#models.keys()].sort().map((name) => this.get(name) as ModelView);
  }

  get(name: string): ModelView | undefined {
    const versions = this.#models.get(name);
    if (versions === undefined) return undefined;
    const aliases = this.#aliases.get(name) ?? {};
    const shown = [...versions.values()].sort((a, b) => b.pushedAt - a.pushedAt);
    return { name, aliases: { ...aliases }, versions: shown.map((model) => versionOf(model, aliases)) };
  }

  version(name: string, version: string): ModelVersion | undefined {
    const model = this.#models.get(name)?.get(version);
    return model && versionOf(model, this.#aliases.get(name) ?? {});
  }

  /** What a digest is called, if a record told. */
  named(modelDigest: string): { readonly name: string; readonly version: string } | undefined {
    return this.#byDigest.get(modelDigest);
  }
}
