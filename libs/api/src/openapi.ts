/** The OpenAPI document of routes. Pure. */
import { z } from "zod";
import { health, metrics } from "./operations.ts";
import { problemSchema } from "./problem.ts";
import { publicApi } from "./public-api.ts";
import type { Route, Routes } from "./route.ts";

type OpenApiOptions = {
  readonly version: string;
  /** Whether requests need a bearer token. */
  readonly isAuthenticated: boolean;
  /** Whether `/metrics` is on the same port. */
  readonly hasMetrics: boolean;
  /** Schemas of documents of the domain, by their format, see `domainDocument`. */
  readonly documents: Readonly<Record<string, z.ZodType>>;
};

const DESCRIPTION =
  "Final answers, devices and routing policies; the Kafka topics are described at [/asyncapi](/asyncapi). 64-bit numbers are decimal strings, times are RFC 3339 in UTC. Errors are RFC 9457 problem details with a stable `code`; unknown query parameters and body fields are refused by name.";

/** Prefixes of operation ids, as they were first published: clients that others generate name their functions by them. */
const controllers: Readonly<Record<keyof typeof publicApi | "Operations" | "Metrics", string>> = {
  archive: "ArchiveController",
  classifications: "AnswersController",
  datasets: "DatasetsController",
  devices: "DevicesController",
  drift: "DriftController",
  experiments: "ExperimentsController",
  frames: "FramesController",
  labels: "LabelsController",
  models: "ModelsController",
  policies: "PoliciesController",
  rollouts: "RolloutsController",
  trainings: "TrainingsController",
  Operations: "OperationsController",
  Metrics: "MetricsController",
};

type Json = Readonly<Record<string, unknown>>;

export function openApiOf({ version, isAuthenticated, hasMetrics, documents }: OpenApiOptions) {
  const schemaOf = schemasWith(documents);
  const paths: Record<string, Record<string, Json>> = {};
  const add = (tag: keyof typeof controllers, routes: Routes) => {
    for (const [name, route] of Object.entries(routes)) {
      paths[route.path] ??= {};
      Object.assign(paths[route.path] as object, {
        [route.method.toLowerCase()]: {
          ...operationOf(route, schemaOf),
          operationId: `${controllers[tag]}_${name}`,
          tags: [tag],
        },
      });
    }
  };
  for (const [tag, routes] of Object.entries(publicApi)) add(tag as keyof typeof publicApi, routes);
  add("Operations", health);
  if (hasMetrics) add("Metrics", { metrics });
  const license = { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" };
  return {
    openapi: "3.0.0",
    paths,
    info: { title: "Tributary", description: DESCRIPTION, version, contact: {}, license },
    tags: [],
    servers: [],
    components: isAuthenticated
      ? { securitySchemes: { bearer: { scheme: "bearer", bearerFormat: "JWT", type: "http" } }, schemas: {} }
      : { schemas: {} },
    ...(isAuthenticated && { security: [{ bearer: [] }] }),
  };
}

type SchemaOf = (schema: z.ZodType) => Json;

/** As requests write them: what has a default may be left out. */
const schemasWith = (documents: OpenApiOptions["documents"]): SchemaOf => {
  const schemaOf: SchemaOf = (schema) => {
    const { $schema: _dialect, ...json } = z.toJSONSchema(schema, {
      io: "input",
      target: "openapi-3.0",
      override: ({ jsonSchema }) => {
        const { domainDocument, ...any } = jsonSchema as { domainDocument?: string } & Json;
        if (domainDocument === undefined) return;
        const { description, ...object } = any;
        const document = documents[domainDocument];
        for (const key of Object.keys(jsonSchema)) delete jsonSchema[key];
        Object.assign(jsonSchema, {
          anyOf: [...(document === undefined ? [] : [schemaOf(document)]), object],
          description,
        });
      },
    });
    return json;
  };
  return schemaOf;
};

function operationOf(route: Route, schemaOf: SchemaOf): Json {
  const { summary, description, body, status = 200, problems } = route;
  return {
    summary,
    ...(description !== undefined && { description }),
    parameters: [...pathParametersOf(route), ...queryParametersOf(route, schemaOf)],
    ...(body instanceof z.ZodType && {
      requestBody: { required: true, content: { "application/json": { schema: schemaOf(body) } } },
    }),
    responses: {
      [status]: successOf(route, schemaOf),
      ...Object.fromEntries(
        problems.map(([status, codes]) => [
          status,
          { description: codes, content: { "application/problem+json": { schema: schemaOf(problemSchema) } } },
        ]),
      ),
    },
  };
}

const pathParametersOf = ({ path, parameters = {} }: Route): Json[] =>
  [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => ({
    name,
    in: "path",
    required: true,
    ...(parameters[name] !== undefined && { description: parameters[name] }),
    schema: { type: "string" },
  }));

const queryParametersOf = ({ query }: Route, schemaOf: SchemaOf): Json[] =>
  Object.entries(query?.shape ?? {}).map(([name, schema]) => ({
    name,
    in: "query",
    required: false,
    schema: schemaOf(schema as z.ZodType),
  }));

function successOf({ response }: Route, schemaOf: SchemaOf): Json {
  switch (response.kind) {
    case "json":
      return {
        description: response.description,
        content: { "application/json": { schema: schemaOf(response.schema) } },
      };
    case "events":
      return { description: "", content: { [response.mediaType]: {} } };
    case "bytes":
      return { description: response.description, content: { [response.mediaType]: {} } };
    default:
      return { description: "" };
  }
}
