import { Body, Controller, Inject, Param, Query, Res } from "@nestjs/common";
import {
  aliasName,
  type ModelRegistryAliasRequest,
  type ModelRegistryByRequest,
  type ModelRegistryReasonRequest,
  modelRegistryApi,
  type PushRequest,
  type RegisteredVersion,
  type VersionQuery,
} from "@tributary/api";
import type { Model } from "@tributary/contracts";
import { ModelTable } from "@tributary/models";
import { Problem, Serves, Validated } from "@tributary/service-kit";
import { CHALLENGER } from "../gating/due.ts";
import { GateRunner } from "../gating/gate-runner.ts";
import { viewOf } from "./model-view.ts";
import { Registry } from "./registry.ts";

const routes = modelRegistryApi.models;

type Response = { status(code: number): Response; json(body: unknown): void };

@Controller()
export class ModelsController {
  readonly #table: ModelTable;
  readonly #registry: Registry;
  readonly #gates: GateRunner;

  constructor(
    @Inject(ModelTable) table: ModelTable,
    @Inject(Registry) registry: Registry,
    @Inject(GateRunner) gates: GateRunner,
  ) {
    this.#table = table;
    this.#registry = registry;
    this.#gates = gates;
  }

  @Serves(routes.list)
  list(@Query(new Validated(routes.list.query)) wanted: VersionQuery): { items: RegisteredVersion[] } {
    const items = this.#table
      .list()
      .filter((model) => wanted.name === undefined || model.name === wanted.name)
      .filter((model) => wanted.digest === undefined || model.modelDigest === wanted.digest)
      .map((model) => this.#view(model))
      .filter(({ aliases }) => wanted.alias === undefined || aliases.includes(wanted.alias));
    return { items };
  }

  @Serves(routes.one)
  one(@Param("name") name: string, @Param("version") version: string): RegisteredVersion {
    return this.#view(this.#registry.model(name, version));
  }

  /** Answers once it was examined and is listed: 201, or 200 where it was before. */
  @Serves(routes.push)
  async push(
    @Body(new Validated(routes.push.body)) { manifestDigest, by }: PushRequest,
    @Res() response: Response,
  ): Promise<void> {
    const { model, examination } = await this.#registry.push(manifestDigest, by);
    response.status(examination === null ? 200 : 201).json({ ...this.#view(model), examination });
  }

  @Serves(routes.alias)
  async alias(
    @Param("name") name: string,
    @Param("alias") alias: string,
    @Body(new Validated(routes.alias.body)) { version, by }: ModelRegistryAliasRequest,
  ): Promise<RegisteredVersion> {
    await this.#registry.alias(name, aliasOf(alias), version, by);
    return this.one(name, version);
  }

  @Serves(routes.unalias)
  async unalias(
    @Param("name") name: string,
    @Param("alias") alias: string,
    @Body(new Validated(routes.unalias.body)) { by }: ModelRegistryByRequest,
  ) {
    await this.#registry.alias(name, aliasOf(alias), null, by);
    return { name, aliases: this.#table.aliases(name) };
  }

  @Serves(routes.revoke)
  async revoke(
    @Param("name") name: string,
    @Param("version") version: string,
    @Body(new Validated(routes.revoke.body)) { by, reason }: ModelRegistryReasonRequest,
  ) {
    return this.#view(await this.#registry.revoke(name, version, by, reason));
  }

  /** Judges a challenger again. */
  @Serves(routes.judge)
  again(
    @Param("name") name: string,
    @Param("version") version: string,
    @Body(new Validated(routes.judge.body)) _by: ModelRegistryByRequest,
  ): RegisteredVersion {
    const model = this.#registry.model(name, version);
    if (!this.#table.aliasesOf(model).includes(CHALLENGER)) {
      const detail = `${name} ${version} is no challenger: only challengers are judged. Give it the alias first.`;
      throw new Problem(409, "not-challenger", "give-up", detail);
    }
    this.#gates.again(model);
    return this.#view(model);
  }

  @Serves(routes.force)
  async force(
    @Param("name") name: string,
    @Param("version") version: string,
    @Body(new Validated(routes.force.body)) { by, reason }: ModelRegistryReasonRequest,
  ) {
    return this.#view(await this.#registry.force(name, version, by, reason));
  }

  #view(model: Model): RegisteredVersion {
    return viewOf(model, this.#table.aliasesOf(model), this.#gates.judging(model));
  }
}

function aliasOf(text: string): string {
  const result = aliasName.safeParse(text);
  if (result.success) return result.data;
  throw new Problem(
    400,
    "alias-malformed",
    "give-up",
    `"${text.slice(0, 64)}" is no alias: ${result.error.issues[0]?.message}.`,
  );
}
