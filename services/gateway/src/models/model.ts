/** Models of records as the public API shows them. */
import type { ModelVersion, ModelView } from "@tributary/api";
import type { Model } from "@tributary/contracts";
import type { ModelTable } from "@tributary/models";
import { isoOf } from "../answers/answer.ts";

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
