/** Routing policies: how devices of one model decide what to send to one cloud target. */
import { z } from "zod";
import { limit, listOf, noQuery } from "./parts.ts";
import { json, route } from "./route.ts";

const logisticSchema = z.object({ bias: z.number(), weights: z.array(z.number()), labelBias: z.array(z.number()) });

export const routingPolicySchema = z.looseObject({
  policyVersion: z.string(),
  modelDigest: z.string(),
  cloudTarget: z.string(),
  createdAt: z.string(),
  labels: z.array(z.string()),
  temperature: z.number(),
  features: z.array(z.string()),
  edgeRight: logisticSchema,
  cloudRight: logisticSchema,
  scoreMin: z.number(),
  priorityLabels: z.array(z.object({ label: z.string(), confidenceMin: z.number(), weight: z.number() })),
  samplePropensityMin: z.number(),
  sampleBudget: z.number(),
  sampleUncertaintyMean: z.number(),
  escalationShareMax: z.number(),
  burstMs: z.number(),
  priorityReserve: z.number(),
  deadlineMs: z.number().int(),
  guarantee: z.object({
    method: z.string(),
    epsilon: z.number(),
    delta: z.number(),
    n: z.number(),
    losses: z.number(),
    escalationShare: z.number(),
  }),
});
export type PolicyFields = z.output<typeof routingPolicySchema>;

const policySchema = routingPolicySchema
  .extend({ key: z.string().describe("modelDigest|cloudTarget") })
  .describe("All fields of the RoutingPolicy record, and its key.");
export type Policy = z.output<typeof policySchema>;

const policyVersionSchema = policySchema.extend({
  inForce: z
    .boolean()
    .describe("Whether it is in force for the devices of its model; experiments may name it all the same."),
});
export type PolicyVersion = z.output<typeof policyVersionSchema>;
const versionsQuery = z.strictObject({
  model: z.string().optional().describe("Only of this edge package: its digest, or the beginning of it."),
  limit: limit(100),
});
export type PolicyVersionsQuery = z.output<typeof versionsQuery>;

const pushBody = z.strictObject({
  policy: z.looseObject({}).describe("As in a package's policy.json: a RoutingPolicy without version, model and time."),
  modelDigest: z
    .string()
    .regex(/^[0-9a-f]{64}$/, "expected 64 hexadecimal digits, as GET /api/v1/models shows")
    .describe("Edge package that it is for."),
  by: z.string().min(1).max(128).default("gateway").describe("Who wants it; stands in the gateway's log."),
});
export type PolicyPush = z.output<typeof pushBody>;

export const policies = {
  list: route({
    method: "GET",
    path: "/api/v1/policies",
    summary: "The routing policies in force.",
    query: noQuery,
    response: json("Policies, by key.", listOf(policySchema)),
    problems: [[400, "request-invalid"]],
  }),
  push: route({
    method: "POST",
    path: "/api/v1/policies",
    summary: "Stores a routing policy that experiments may name. No device decides by it before.",
    description: "The version follows from the content: what is stored already is answered the same way.",
    body: pushBody,
    status: 201,
    response: json("Its version.", z.object({ policyVersion: z.string() })),
    problems: [
      [400, "request-invalid"],
      [422, "policy-invalid, model-unknown, policy-labels-differ"],
      [503, "kafka-unavailable"],
    ],
  }),
  versions: route({
    method: "GET",
    path: "/api/v1/policies/versions",
    summary: "The routing policies that experiments may name, and those in force; newest first.",
    query: versionsQuery,
    response: json("Policies, by version.", listOf(policyVersionSchema)),
    problems: [[400, "request-invalid"]],
  }),
  one: route({
    method: "GET",
    path: "/api/v1/policies/{key}",
    summary: "One routing policy.",
    parameters: { key: "modelDigest|cloudTarget" },
    response: json("The policy.", policySchema),
    problems: [[404, "policy-unknown"]],
  }),
};
