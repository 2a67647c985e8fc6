/** Models as the public API shows them. */
import type { Model } from "@tributary/contracts";
import type { ModelTable } from "@tributary/models";
import { z } from "zod";
import { isoOf } from "../answers/answer.ts";

export const versionSchema = z.object({
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
    })
    .nullable()
    .describe("What the validation gate found; null: it was not judged."),
  revoked: z.object({ by: z.string(), reason: z.string(), at: z.string() }).nullable(),
});
export type ModelVersion = z.output<typeof versionSchema>;

export const modelSchema = z.object({
  name: z.string(),
  aliases: z.record(z.string(), z.string()).describe("Version by alias."),
  versions: z.array(versionSchema).describe("Newest first."),
});
export type ModelView = z.output<typeof modelSchema>;

export const modelOf = (table: ModelTable, name: string): ModelView => ({
  name,
  aliases: { ...table.aliases(name) },
  versions: table.versions(name).map((model) => versionOf(table, model)),
});

export function versionOf(table: ModelTable, model: Model): ModelVersion {
  const { gate, revoked } = model;
  return {
    ...model,
    labels: [...model.labels],
    metrics: { ...model.metrics },
    lineage: { ...model.lineage },
    packageBytes: Number(model.packageBytes),
    pushedAt: isoOf(model.pushedAt) ?? "",
    aliases: [...table.aliasesOf(model)],
    gate: gate && { ...gate, failed: [...gate.failed], unsure: [...gate.unsure], judgedAt: isoOf(gate.judgedAt) ?? "" },
    revoked: revoked && { ...revoked, at: isoOf(revoked.at) ?? "" },
  };
}

const by = z.string().min(1).max(128).default("gateway").describe("Who wants it; stands in the record.");
const reason = z.string().min(1).max(500).describe("Why; stands in the record.");
export const aliasSchema = z.strictObject({ version: z.string().min(1).max(128), by });
export const bySchema = z.strictObject({ by });
export const reasonSchema = z.strictObject({ reason, by });
