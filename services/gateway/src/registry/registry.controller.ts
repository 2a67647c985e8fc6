import { Controller, Get, Header, Inject, Param } from "@nestjs/common";
import { ApiExcludeController } from "@nestjs/swagger";
import type { Registry } from "@tributary/schema-registry";

export const REGISTRY = Symbol("registry");
export const REGISTRY_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json";

/** Described by Confluent's own documents, so it is not in ours. */
@ApiExcludeController()
@Controller()
export class RegistryController {
  constructor(@Inject(REGISTRY) private readonly registry: Registry) {}

  @Get("subjects")
  @Header("content-type", REGISTRY_MEDIA_TYPE)
  subjects() {
    return this.registry.subjects();
  }

  @Get("subjects/:subject/versions")
  @Header("content-type", REGISTRY_MEDIA_TYPE)
  versions(@Param("subject") subject: string) {
    return this.registry.subjectVersions(subject);
  }

  @Get("subjects/:subject/versions/:version")
  @Header("content-type", REGISTRY_MEDIA_TYPE)
  version(@Param("subject") subject: string, @Param("version") version: string) {
    return this.registry.subjectVersion(subject, version);
  }

  @Get("schemas/types")
  @Header("content-type", REGISTRY_MEDIA_TYPE)
  types() {
    return ["AVRO"];
  }

  @Get("schemas/ids/:id")
  @Header("content-type", REGISTRY_MEDIA_TYPE)
  schema(@Param("id") id: string) {
    return this.registry.schemaById(Number(id));
  }

  @Get("schemas/ids/:id/versions")
  @Header("content-type", REGISTRY_MEDIA_TYPE)
  usesOf(@Param("id") id: string) {
    return this.registry.versionsOfSchema(Number(id));
  }
}
