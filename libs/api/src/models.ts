/** Models: versions, aliases, and what the validation gate found. What is wanted of them, model-registry carries out. */
import { z } from "zod";
import { listOf, noQuery } from "./parts.ts";
import { json, route } from "./route.ts";

export const modelVersionSchema = z.object({
  name: z.string(),
  version: z.string(),
  modelDigest: z.string().describe("SHA-256 of the package's manifest: what devices report."),
  state: z.enum(["UNKNOWN", "LISTED", "REVOKED"]).describe("LISTED: devices may load it. REVOKED: no more."),
  aliases: z.array(z.string()).describe("Of this version now, e.g. champion, challenger."),
  packageBytes: z.number().int(),
  hardwareClass: z.string(),
  input: z.string().describe("jpeg or tensor: who preprocesses."),
  labels: z.array(z.string()),
  latencyBudgetMs: z.number(),
  metrics: z.record(z.string(), z.number()).describe("Measured on the validation split."),
  lineage: z.record(z.string(), z.string()),
  edge: z.boolean().describe("Whether it carries a routing policy, as models of devices do."),
  pushedBy: z.string(),
  pushedAt: z.string(),
  gate: z
    .object({
      passed: z.boolean(),
      championDigest: z.string(),
      failed: z.array(z.string()).describe("Lines that failed, in words."),
      unsure: z.array(z.string()).describe("Lines that more frames would decide, in words."),
      reportDigest: z.string(),
      pageDigest: z.string(),
      judgedAt: z.string(),
      forcedBy: z.string().describe("Who lets it pass all the same; empty: nobody."),
      forcedReason: z.string(),
      validationDigest: z.string().describe("Validation set that both were shown, hex; empty: unknown."),
      validationGates: z.number().describe("Gates of the model on this validation set so far; 0: unknown."),
      sliceDigest: z
        .string()
        .describe("Manifest of the frames of the slice that drifted, hex; empty: none were shown."),
      sliceGates: z.number().describe("Gates of the model on these frames so far."),
    })
    .nullable()
    .describe("What the validation gate found; null: it was not judged."),
  revoked: z.object({ by: z.string(), reason: z.string(), at: z.string() }).nullable(),
});
export type ModelVersion = z.output<typeof modelVersionSchema>;

const modelSchema = z.object({
  name: z.string(),
  aliases: z.record(z.string(), z.string()).describe("Version by alias."),
  versions: z.array(modelVersionSchema).describe("Newest first."),
});
export type ModelView = z.output<typeof modelSchema>;

const by = z.string().min(1).max(128).default("gateway").describe("Who wants it; stands in the record.");
const reason = z.string().min(1).max(500).describe("Why; stands in the record.");
const aliasBody = z.strictObject({ version: z.string().min(1).max(128), by });
export type AliasRequest = z.output<typeof aliasBody>;
const byBody = z.strictObject({ by });
export type ByRequest = z.output<typeof byBody>;
const reasonBody = z.strictObject({ reason, by });
export type ReasonRequest = z.output<typeof reasonBody>;

/** Of what is handed on to model-registry. */
const handedOn = [
  [400, "request-invalid"],
  [501, "model-registry-not-configured"],
  [502, "model-registry-refuses, model-registry-bad-response"],
  [503, "model-registry-unreachable"],
] as const;
const registrysAnswer = z.looseObject({}).describe("What model-registry answers.");
const aliasParameter = { alias: "E.g. champion, challenger." } as const;

export const models = {
  list: route({
    method: "GET",
    path: "/api/v1/models",
    summary: "The models of the registry, with their versions and aliases.",
    query: noQuery,
    response: json("Models, by name.", listOf(modelSchema)),
    problems: [[400, "request-invalid"]],
  }),
  one: route({
    method: "GET",
    path: "/api/v1/models/{name}",
    summary: "One model: its versions, newest first, and its aliases.",
    response: json("The model.", modelSchema),
    problems: [[404, "model-unknown"]],
  }),
  version: route({
    method: "GET",
    path: "/api/v1/models/{name}/{version}",
    summary: "One version of a model: its package, metrics, lineage and what the gate found.",
    response: json("The version.", modelVersionSchema),
    problems: [[404, "model-unknown"]],
  }),
  alias: route({
    method: "PUT",
    path: "/api/v1/models/{name}/aliases/{alias}",
    summary: "Gives a version an alias, by model-registry. A challenger is judged, then rolled out.",
    parameters: aliasParameter,
    body: aliasBody,
    response: json("Done.", registrysAnswer),
    problems: handedOn,
  }),
  unalias: route({
    method: "DELETE",
    path: "/api/v1/models/{name}/aliases/{alias}",
    summary: "Takes an alias away, by model-registry.",
    parameters: aliasParameter,
    body: byBody,
    response: json("Done.", registrysAnswer),
    problems: handedOn,
  }),
  judge: route({
    method: "POST",
    path: "/api/v1/models/{name}/{version}/gate",
    summary: "Has a version judged by the validation gate (again), by model-registry.",
    body: byBody,
    response: json("Done, or started.", registrysAnswer),
    problems: handedOn,
  }),
  force: route({
    method: "POST",
    path: "/api/v1/models/{name}/{version}/gate/force",
    summary: "Lets a version pass the gate that it failed, by model-registry; it is then rolled out.",
    body: reasonBody,
    response: json("Done.", registrysAnswer),
    problems: handedOn,
  }),
  revoke: route({
    method: "POST",
    path: "/api/v1/models/{name}/{version}/revoke",
    summary: "Revokes a version, by model-registry: no device loads it any more.",
    body: reasonBody,
    response: json("Done.", registrysAnswer),
    problems: handedOn,
  }),
};
