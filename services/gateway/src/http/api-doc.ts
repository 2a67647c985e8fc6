/** OpenAPI from the same zod schemas that validate. */
import { applyDecorators } from "@nestjs/common";
import { ApiParam, ApiQuery, ApiResponse } from "@nestjs/swagger";
import { problemSchema } from "@tributary/service-kit";
import { z } from "zod";

type OpenApiSchema = NonNullable<Extract<Parameters<typeof ApiResponse>[0], { schema?: unknown }>["schema"]>;

export function openApiSchema(schema: z.ZodType): OpenApiSchema {
  const { $schema: _dialect, ...json } = z.toJSONSchema(schema, { io: "input", target: "openapi-3.0" });
  return json as OpenApiSchema;
}

export const Answers = (status: number, description: string, schema: z.ZodType) =>
  ApiResponse({ status, description, schema: openApiSchema(schema) });

const problem = openApiSchema(problemSchema);

export const Problems = (...codes: readonly (readonly [status: number, code: string])[]) =>
  applyDecorators(
    ...codes.map(([status, code]) =>
      ApiResponse({ status, description: code, content: { "application/problem+json": { schema: problem } } }),
    ),
  );

export const QueryOf = (schema: z.ZodObject) =>
  applyDecorators(
    ...Object.entries(schema.shape).map(([name, field]) =>
      ApiQuery({ name, required: false, schema: openApiSchema(field as z.ZodType) }),
    ),
  );

export const FrameIdParam = () =>
  ApiParam({ name: "frameId", description: "deviceId:bootId:cameraId:frameSeq", schema: { type: "string" } });
