import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Put, Query } from "@nestjs/common";
import { ApiBody, ApiOperation, ApiParam, ApiTags } from "@nestjs/swagger";
import { ModelTable } from "@tributary/models";
import { Problem } from "@tributary/service-kit";
import { z } from "zod";
import type { Upstream } from "../forwarding/upstream.ts";
import { Answers, openApiSchema, Problems } from "../http/api-doc.ts";
import { validated } from "../http/validated.ts";
import { aliasSchema, bySchema, modelOf, modelSchema, reasonSchema, versionOf, versionSchema } from "./model.ts";

export const MODEL_REGISTRY = Symbol("model-registry");

const passed = [
  [501, "model-registry-not-configured"],
  [502, "model-registry-refuses, model-registry-rubbish"],
  [503, "model-registry-unreachable"],
] as const;
const answered = z.looseObject({}).describe("What model-registry answers.");
const NameParam = () => ApiParam({ name: "name", schema: { type: "string" } });
const AliasParam = () =>
  ApiParam({ name: "alias", schema: { type: "string" }, description: "E.g. champion, challenger." });
const VersionParam = () => ApiParam({ name: "version", schema: { type: "string" } });

@ApiTags("models")
@Controller("api/v1/models")
export class ModelsController {
  constructor(
    private readonly table: ModelTable,
    @Inject(MODEL_REGISTRY) private readonly registry: Upstream,
  ) {}

  @Get()
  @ApiOperation({ summary: "The models of the registry, with their versions and aliases." })
  @Answers(200, "Models, by name.", z.object({ items: z.array(modelSchema) }))
  @Problems([400, "request-invalid"])
  list(@Query() query: unknown) {
    validated(z.strictObject({}), query, "query");
    return { items: this.table.names().map((name) => modelOf(this.table, name)) };
  }

  @Get(":name")
  @ApiOperation({ summary: "One model: its versions, newest first, and its aliases." })
  @NameParam()
  @Answers(200, "The model.", modelSchema)
  @Problems([404, "model-unknown"])
  one(@Param("name") name: string) {
    if (this.table.versions(name).length > 0) return modelOf(this.table, name);
    throw new Problem(404, "model-unknown", "give-up", `No model ${name} is known. GET /api/v1/models lists them.`);
  }

  @Get(":name/:version")
  @ApiOperation({ summary: "One version of a model: its package, metrics, lineage and what the gate found." })
  @NameParam()
  @VersionParam()
  @Answers(200, "The version.", versionSchema)
  @Problems([404, "model-unknown"])
  version(@Param("name") name: string, @Param("version") version: string) {
    const model = this.table.get(name, version);
    if (model !== undefined) return versionOf(this.table, model);
    const detail = `No version ${version} of a model ${name} is known. GET /api/v1/models/${name} lists them.`;
    throw new Problem(404, "model-unknown", "give-up", detail);
  }

  @Put(":name/aliases/:alias")
  @ApiOperation({ summary: "Gives a version an alias, by model-registry. A challenger is judged, then rolled out." })
  @NameParam()
  @AliasParam()
  @ApiBody({ schema: openApiSchema(aliasSchema) })
  @Answers(200, "Done.", answered)
  @Problems([400, "request-invalid"], ...passed)
  alias(@Param("name") name: string, @Param("alias") alias: string, @Body() body: unknown) {
    const wanted = validated(aliasSchema, body, "body");
    return this.registry.call({ method: "PUT", path: ["models", name, "aliases", alias], body: wanted });
  }

  @Delete(":name/aliases/:alias")
  @ApiOperation({ summary: "Takes an alias away, by model-registry." })
  @NameParam()
  @AliasParam()
  @ApiBody({ schema: openApiSchema(bySchema) })
  @Answers(200, "Done.", answered)
  @Problems([400, "request-invalid"], ...passed)
  unalias(@Param("name") name: string, @Param("alias") alias: string, @Body() body: unknown) {
    const wanted = validated(bySchema, body, "body");
    return this.registry.call({ method: "DELETE", path: ["models", name, "aliases", alias], body: wanted });
  }

  @Post(":name/:version/gate")
  @HttpCode(200)
  @ApiOperation({ summary: "Has a version judged by the validation gate (again), by model-registry." })
  @NameParam()
  @VersionParam()
  @ApiBody({ schema: openApiSchema(bySchema) })
  @Answers(200, "Done, or begun.", answered)
  @Problems([400, "request-invalid"], ...passed)
  judge(@Param("name") name: string, @Param("version") version: string, @Body() body: unknown) {
    const wanted = validated(bySchema, body, "body");
    return this.registry.call({ method: "POST", path: ["models", name, version, "gate"], body: wanted });
  }

  @Post(":name/:version/gate/force")
  @HttpCode(200)
  @ApiOperation({ summary: "Lets a version pass the gate that it failed, by model-registry; it is then rolled out." })
  @NameParam()
  @VersionParam()
  @ApiBody({ schema: openApiSchema(reasonSchema) })
  @Answers(200, "Done.", answered)
  @Problems([400, "request-invalid"], ...passed)
  force(@Param("name") name: string, @Param("version") version: string, @Body() body: unknown) {
    const wanted = validated(reasonSchema, body, "body");
    return this.registry.call({ method: "POST", path: ["models", name, version, "gate", "force"], body: wanted });
  }

  @Post(":name/:version/revoke")
  @HttpCode(200)
  @ApiOperation({ summary: "Revokes a version, by model-registry: no device loads it any more." })
  @NameParam()
  @VersionParam()
  @ApiBody({ schema: openApiSchema(reasonSchema) })
  @Answers(200, "Done.", answered)
  @Problems([400, "request-invalid"], ...passed)
  revoke(@Param("name") name: string, @Param("version") version: string, @Body() body: unknown) {
    const wanted = validated(reasonSchema, body, "body");
    return this.registry.call({ method: "POST", path: ["models", name, version, "revoke"], body: wanted });
  }
}
