/** Confluent's schema registry over HTTP. Described by Confluent's own documents, so it is not in ours. */
import {
  Body,
  type CallHandler,
  Controller,
  Delete,
  type ExecutionContext,
  Get,
  HttpCode,
  Inject,
  type NestInterceptor,
  Param,
  Post,
  Put,
  Query,
  UseInterceptors,
} from "@nestjs/common";
import type { SchemaRegistry } from "@tributary/schema-registry";
import { REGISTRY_MEDIA_TYPE } from "./errors.ts";

export const REGISTRY = Symbol("registry");

class RegistryMediaType implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler) {
    context.switchToHttp().getResponse().setHeader("content-type", REGISTRY_MEDIA_TYPE);
    return next.handle();
  }
}

@UseInterceptors(RegistryMediaType)
@Controller()
export class RegistryController {
  constructor(@Inject(REGISTRY) private readonly registry: SchemaRegistry) {}

  @Get("subjects")
  subjects(@Query("subjectPrefix") prefix?: string) {
    return this.registry.subjects(prefix);
  }

  @Get("subjects/:subject/versions")
  versions(@Param("subject") subject: string) {
    return this.registry.subjectVersions(subject);
  }

  @Get("subjects/:subject/versions/:version")
  version(@Param("subject") subject: string, @Param("version") version: string) {
    return this.registry.subjectVersion(subject, version);
  }

  @Get("subjects/:subject/versions/:version/schema")
  versionSchema(@Param("subject") subject: string, @Param("version") version: string) {
    return this.registry.subjectVersion(subject, version).schema;
  }

  @Get("subjects/:subject/versions/:version/referencedby")
  referencedBy(@Param("subject") subject: string, @Param("version") version: string) {
    this.registry.subjectVersion(subject, version);
    return [];
  }

  @Post("subjects/:subject")
  @HttpCode(200)
  lookUp(@Param("subject") subject: string, @Body() body: unknown) {
    return this.registry.lookUp(subject, body);
  }

  @Post("subjects/:subject/versions")
  @HttpCode(200)
  register(@Param("subject") subject: string, @Body() body: unknown) {
    return this.registry.register(subject, body);
  }

  @Get("schemas")
  schemas(@Query("subjectPrefix") prefix?: string, @Query("latestOnly") latestOnly?: string) {
    return this.registry.schemas(prefix, latestOnly === "true");
  }

  @Get("schemas/types")
  types() {
    return ["AVRO"];
  }

  @Get("schemas/ids/:id")
  schema(@Param("id") id: string) {
    return this.registry.schemaById(Number(id));
  }

  @Get("schemas/ids/:id/schema")
  schemaText(@Param("id") id: string) {
    return this.registry.schemaById(Number(id)).schema;
  }

  @Get("schemas/ids/:id/subjects")
  subjectsOf(@Param("id") id: string) {
    return this.registry.subjectsOfSchema(Number(id));
  }

  @Get("schemas/ids/:id/versions")
  usesOf(@Param("id") id: string) {
    return this.registry.versionsOfSchema(Number(id));
  }

  @Get(["config", "config/:subject"])
  config(@Param("subject") subject?: string, @Query("defaultToGlobal") orGlobal?: string) {
    return this.registry.config(subject, orGlobal === "true");
  }

  @Get(["mode", "mode/:subject"])
  mode(@Param("subject") subject?: string, @Query("defaultToGlobal") orGlobal?: string) {
    return this.registry.mode(subject, orGlobal === "true");
  }

  @Put(["config", "config/:subject", "mode", "mode/:subject"])
  set(@Param("subject") subject?: string) {
    return this.registry.refuseChange(subject);
  }

  @Delete([
    "config",
    "config/:subject",
    "mode",
    "mode/:subject",
    "subjects/:subject",
    "subjects/:subject/versions/:version",
  ])
  delete(@Param("subject") subject?: string) {
    return this.registry.refuseChange(subject);
  }
}
