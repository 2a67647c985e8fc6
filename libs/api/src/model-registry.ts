/** model-registry's own API: what the CLI and the gateway ask of it. */
import { z } from "zod";
import { modelVersionSchema } from "./models.ts";
import { listOf } from "./parts.ts";
import { bytes, existence, json, route, stream } from "./route.ts";

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
export const aliasName = z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, "expected small letters, digits and dashes");

/** As the gateway shows it, and how far the gate is. */
const registeredVersionSchema = modelVersionSchema.extend({
  judging: z
    .object({ state: z.string(), detail: z.string() })
    .nullable()
    .describe("Of a challenger that is not judged yet: how far it is, or why it is not."),
});
export type RegisteredVersion = z.output<typeof registeredVersionSchema>;

const examinationSchema = z.union([
  z.looseObject({
    opset: z.number(),
    golden: z.looseObject({ frames: z.number(), equal: z.number() }),
    latency: z.looseObject({ p95Ms: z.number(), budgetMs: z.number() }),
  }),
  z.looseObject({ kind: z.literal("world"), cells: z.number().describe("Contexts that it has counts of.") }),
]);

const pushBody = z.strictObject({ manifestDigest: digest, by });
export type PushRequest = z.output<typeof pushBody>;
const byBody = z.strictObject({ by });
export type ModelRegistryByRequest = z.output<typeof byBody>;
const reasonBody = z.strictObject({ by, reason: line(1_000) });
export type ModelRegistryReasonRequest = z.output<typeof reasonBody>;
const aliasBody = z.strictObject({ version: z.string().min(1).max(64), by });
export type ModelRegistryAliasRequest = z.output<typeof aliasBody>;
const versionQuery = z.strictObject({
  name: z.string().optional(),
  alias: z.string().optional(),
  digest: digest.optional(),
});
export type VersionQuery = z.output<typeof versionQuery>;

const validationSchema = z.object({
  model: z.string(),
  source: z.enum(["pushed", "configured"]),
  digest: z
    .string()
    .nullable()
    .describe("This and what follows is null of a configured folder: it may change at any time."),
  frames: z.number().nullable(),
  pushedBy: z.string().nullable(),
  pushedAt: z.string().nullable(),
});
export type ValidationView = z.output<typeof validationSchema>;
const validationDetailSchema = validationSchema.extend({
  classes: z.record(z.string(), z.number()).nullable().describe("Frames by class."),
  bytes: z.number().nullable(),
});
export type ValidationDetail = z.output<typeof validationDetailSchema>;

const version = json("The version.", registeredVersionSchema);
const blob = "/blobs/sha256/{digest}";

export const modelRegistryApi = {
  models: {
    list: route({
      method: "GET",
      path: "/models",
      summary: "Versions of all models.",
      query: versionQuery,
      response: json("Versions.", listOf(registeredVersionSchema)),
      problems: [],
    }),
    one: route({
      method: "GET",
      path: "/models/{name}/{version}",
      summary: "One version.",
      response: version,
      problems: [[404, "model-unknown"]],
    }),
    push: route({
      method: "POST",
      path: "/models",
      summary:
        "Lists a package whose files are uploaded; answers 201 once it is examined, 200 where it was listed before.",
      body: pushBody,
      response: json("The version.", registeredVersionSchema.extend({ examination: examinationSchema.nullable() })),
      problems: [],
    }),
    alias: route({
      method: "PUT",
      path: "/models/{name}/aliases/{alias}",
      summary: "Gives a version an alias.",
      body: aliasBody,
      response: version,
      problems: [[400, "alias-malformed"]],
    }),
    unalias: route({
      method: "DELETE",
      path: "/models/{name}/aliases/{alias}",
      summary: "Takes an alias away.",
      body: byBody,
      response: json("What is left.", z.object({ name: z.string(), aliases: z.record(z.string(), z.string()) })),
      problems: [[400, "alias-malformed"]],
    }),
    revoke: route({
      method: "POST",
      path: "/models/{name}/{version}/revoke",
      summary: "Revokes a version: no device loads it any more.",
      body: reasonBody,
      response: version,
      problems: [],
    }),
    judge: route({
      method: "POST",
      path: "/models/{name}/{version}/gate",
      summary: "Judges a challenger again.",
      body: byBody,
      response: version,
      problems: [[409, "not-challenger"]],
    }),
    force: route({
      method: "POST",
      path: "/models/{name}/{version}/gate/force",
      summary: "Lets a version pass the gate that it failed.",
      body: reasonBody,
      response: version,
      problems: [],
    }),
  },
  validation: {
    list: route({
      method: "GET",
      path: "/validation",
      summary: "Which model is judged on which frames.",
      response: json("Validation sets.", listOf(validationSchema)),
      problems: [],
    }),
    describe: route({
      method: "GET",
      path: "/validation/{model}",
      summary: "The frames that one model is judged on.",
      response: json("The set.", validationDetailSchema),
      problems: [[404, "validation-unknown"]],
    }),
    push: route({
      method: "PUT",
      path: "/validation/{model}",
      summary:
        "Makes an uploaded set the one of a model; answers 201 once every frame is examined, 200 where it is that set already.",
      body: pushBody,
      response: json("The set.", validationDetailSchema),
      problems: [],
    }),
  },
  blobs: {
    has: route({
      method: "HEAD",
      path: blob,
      summary: "Whether a blob is there.",
      response: existence,
      problems: [],
    }),
    get: route({
      method: "GET",
      path: blob,
      summary: "A blob, by its SHA-256.",
      response: stream("application/octet-stream"),
      problems: [[404, "blob-unknown"]],
    }),
    put: route({
      method: "PUT",
      path: blob,
      summary: "Stores a blob.",
      body: "file",
      status: 201,
      response: json("What is stored.", z.object({ digest: z.string(), bytes: z.number() })),
      problems: [[422, "blob-digest-mismatch"]],
    }),
  },
  tuf: {
    get: route({
      method: "GET",
      path: "/tuf/{file}",
      summary: "Signed metadata, as devices read it.",
      response: bytes("application/json"),
      problems: [[404, "metadata-unknown"]],
    }),
  },
};
