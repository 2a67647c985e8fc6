/** A version as people and programs see it: as the gateway shows it, and how far the gate is. */
import type { RegisteredVersion } from "@tributary/api";
import type { Model } from "@tributary/contracts";
import type { Judging } from "../gating/gate-runner.ts";

export function viewOf(model: Model, aliases: readonly string[], judging: Judging | undefined): RegisteredVersion {
  const { gate, revoked, packageBytes, pushedAt, labels, ...rest } = model;
  return {
    ...rest,
    labels: [...labels],
    packageBytes: Number(packageBytes),
    aliases: [...aliases],
    pushedAt: isoOf(pushedAt),
    gate: gate && { ...gate, failed: [...gate.failed], unsure: [...gate.unsure], judgedAt: isoOf(gate.judgedAt) },
    judging: judging ?? null,
    revoked: revoked === null ? null : { ...revoked, at: isoOf(revoked.at) },
  };
}

const isoOf = (at: number): string => new Date(at).toISOString();
