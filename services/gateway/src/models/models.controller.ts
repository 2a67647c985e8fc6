import { Body, Controller, Inject, Param, Query } from "@nestjs/common";
import { type AliasRequest, type ByRequest, modelRegistryApi, publicApi, type ReasonRequest } from "@tributary/api";
import { ModelTable } from "@tributary/models";
import { Problem, Serves } from "@tributary/service-kit";
import type { Upstream } from "../forwarding/upstream.ts";
import { Valid } from "../http/validated.ts";
import { modelOf, versionOf } from "./model.ts";

export const MODEL_REGISTRY = Symbol("model-registry");

const routes = publicApi.models;
const registry = modelRegistryApi.models;

type AliasName = { readonly name: string; readonly alias: string };
type VersionName = { readonly name: string; readonly version: string };

@Controller()
export class ModelsController {
  constructor(
    private readonly table: ModelTable,
    @Inject(MODEL_REGISTRY) private readonly upstream: Upstream,
  ) {}

  @Serves(routes.list)
  list(@Query(Valid(routes.list.query)) _none: object) {
    return { items: this.table.names().map((name) => modelOf(this.table, name)) };
  }

  @Serves(routes.one)
  one(@Param("name") name: string) {
    if (this.table.versions(name).length > 0) return modelOf(this.table, name);
    throw new Problem(404, "model-unknown", "give-up", `No model ${name} is known. GET /api/v1/models lists them.`);
  }

  @Serves(routes.version)
  version(@Param() { name, version }: VersionName) {
    const model = this.table.get(name, version);
    if (model !== undefined) return versionOf(this.table, model);
    const detail = `No version ${version} of a model ${name} is known. GET /api/v1/models/${name} lists them.`;
    throw new Problem(404, "model-unknown", "give-up", detail);
  }

  @Serves(routes.alias)
  alias(@Param() at: AliasName, @Body(Valid(routes.alias.body)) body: AliasRequest) {
    return this.upstream.call(registry.alias, { ...at, body });
  }

  @Serves(routes.unalias)
  unalias(@Param() at: AliasName, @Body(Valid(routes.unalias.body)) body: ByRequest) {
    return this.upstream.call(registry.unalias, { ...at, body });
  }

  @Serves(routes.judge)
  judge(@Param() at: VersionName, @Body(Valid(routes.judge.body)) body: ByRequest) {
    return this.upstream.call(registry.judge, { ...at, body });
  }

  @Serves(routes.force)
  force(@Param() at: VersionName, @Body(Valid(routes.force.body)) body: ReasonRequest) {
    return this.upstream.call(registry.force, { ...at, body });
  }

  @Serves(routes.revoke)
  revoke(@Param() at: VersionName, @Body(Valid(routes.revoke.body)) body: ReasonRequest) {
    return this.upstream.call(registry.revoke, { ...at, body });
  }
}
