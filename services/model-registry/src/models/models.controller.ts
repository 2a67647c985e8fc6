import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Put, Query, Res } from "@nestjs/common";
import type { Model } from "@tributary/contracts";
import { ModelTable } from "@tributary/models";
import { Problem, validated } from "@tributary/service-kit";
import { z } from "zod";
import { CHALLENGER } from "../gating/due.ts";
import { GateRunner } from "../gating/gate-runner.ts";
import { type ModelView, viewOf } from "./model-view.ts";
import { Registry } from "./registry.ts";

/** For the record: people see it, programs do not decide by it. */
const line = (max: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(max)
    .regex(/^\P{Cc}*$/u, "expected one line of text");
const by = line(128);
const digest = z.string().regex(/^[0-9a-f]{64}$/, "expected a SHA-256: 64 lower-case hex digits");
const aliasName = z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, "expected small letters, digits and dashes");

export const pushSchema = z.strictObject({ manifestDigest: digest, by });
const aliasSchema = z.strictObject({ version: z.string().min(1).max(64), by });
const bySchema = z.strictObject({ by });
const reasonSchema = z.strictObject({ by, reason: line(1_000) });
const listSchema = z.strictObject({
  name: z.string().optional(),
  alias: z.string().optional(),
  digest: digest.optional(),
});

type Response = { status(code: number): Response; json(body: unknown): void };

@Controller("models")
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

  @Get()
  list(@Query() query: unknown): { items: ModelView[] } {
    const wanted = validated(listSchema, query, "query");
    const items = this.#table
      .list()
      .filter((model) => wanted.name === undefined || model.name === wanted.name)
      .filter((model) => wanted.digest === undefined || model.modelDigest === wanted.digest)
      .map((model) => this.#view(model))
      .filter(({ aliases }) => wanted.alias === undefined || aliases.includes(wanted.alias));
    return { items };
  }

  @Get(":name/:version")
  one(@Param("name") name: string, @Param("version") version: string): ModelView {
    return this.#view(this.#registry.model(name, version));
  }

  /** Answers once it was examined and is listed: 201, or 200 where it was before. */
  @Post()
  async push(@Body() body: unknown, @Res() response: Response): Promise<void> {
    const { manifestDigest, by: who } = validated(pushSchema, body, "body");
    const { model, examination } = await this.#registry.push(manifestDigest, who);
    response.status(examination === null ? 200 : 201).json({ ...this.#view(model), examination });
  }

  @Put(":name/aliases/:alias")
  async alias(@Param("name") name: string, @Param("alias") alias: string, @Body() body: unknown): Promise<ModelView> {
    const { version, by: who } = validated(aliasSchema, body, "body");
    await this.#registry.alias(name, aliasOf(alias), version, who);
    return this.one(name, version);
  }

  @Delete(":name/aliases/:alias")
  async unalias(@Param("name") name: string, @Param("alias") alias: string, @Body() body: unknown) {
    const { by: who } = validated(bySchema, body, "body");
    await this.#registry.alias(name, aliasOf(alias), null, who);
    return { name, aliases: this.#table.aliases(name) };
  }

  @Post(":name/:version/revoke")
  @HttpCode(200)
  async revoke(@Param("name") name: string, @Param("version") version: string, @Body() body: unknown) {
    const { by: who, reason } = validated(reasonSchema, body, "body");
    return this.#view(await this.#registry.revoke(name, version, who, reason));
  }

  /** Judges a challenger again. */
  @Post(":name/:version/gate")
  @HttpCode(200)
  again(@Param("name") name: string, @Param("version") version: string, @Body() body: unknown): ModelView {
    validated(bySchema, body, "body");
    const model = this.#registry.model(name, version);
    if (!this.#table.aliasesOf(model).includes(CHALLENGER)) {
      const detail = `${name} ${version} is no challenger: only challengers are judged. Give it the alias first.`;
      throw new Problem(409, "not-challenger", "give-up", detail);
    }
    this.#gates.again(model);
    return this.#view(model);
  }

  @Post(":name/:version/gate/force")
  @HttpCode(200)
  async force(@Param("name") name: string, @Param("version") version: string, @Body() body: unknown) {
    const { by: who, reason } = validated(reasonSchema, body, "body");
    return this.#view(await this.#registry.force(name, version, who, reason));
  }

  #view(model: Model): ModelView {
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
