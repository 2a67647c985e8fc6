/** Routing policies: how devices of one model decide what to send to one cloud target. */
import { z } from "zod";
import { listOf, noQuery } from "./parts.ts";
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

export const policies = {
  list: route({
    method: "GET",
    path: "/api/v1/policies",
    summary: "The routing policies in force.",
    query: noQuery,
    response: json("Policies, by key.", listOf(policySchema)),
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
