import { Controller, Get, Header, Param } from "@nestjs/common";
import { ApiExcludeController } from "@nestjs/swagger";
import { REGISTRY_MEDIA_TYPE, SchemaRegistry } from "./registry.ts";

/** Described by Confluent's own documents, so it is not in ours. */
@ApiExcludeController()
@Controller()
export class RegistryController {
  constructor(private readonly registry: SchemaRegistry) {}

  @Get("subjects")
  @Header("content-type", REGISTRY_MEDIA_TYPE)
  subjects() {
    return this.registry.subjects();
  }

  @Get("subjects/:subject/versions")
  @Header("content-type", REGISTRY_MEDIA_TYPE)
  versions(@Param("subject") subject: string) {
    return this.registry.versions(subject);
  }

  @Get("subjects/:subject/versions/:version")
  @Header("content-type", REGISTRY_MEDIA_TYPE)
  version(@Param("subject") subject: string, @Param("version") version: string) {
    return this.registry.version(subject, version);
  }

  @Get("schemas/types")
  @Header("content-type", REGISTRY_MEDIA_TYPE)
  types() {
    return ["AVRO"];
  }

  @Get("schemas/ids/:id")
  @Header("content-type", REGISTRY_MEDIA_TYPE)
  schema(@Param("id") id: string) {
    return this.registry.schema(id);
  }

  @Get("schemas/ids/:id/versions")
  @Header("content-type", REGISTRY_MEDIA_TYPE)
  usesOf(@Param("id") id: string) {
    return this.registry.usesOf(id);
  }
}
