/** A version as people and programs see it: as the gateway shows it, and how far the gate is. */
import type { Model } from "@tributary/contracts";
import type { Judging } from "../gating/gate-runner.ts";

export type ModelView = {
  readonly name: string;
  readonly version: string;
  readonly modelDigest: string;
  readonly packageBytes: number;
  readonly hardwareClass: string;
  readonly input: string;
  readonly labels: readonly string[];
  readonly latencyBudgetMs: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly lineage: Readonly<Record<string, string>>;
  /** Whether it carries a routing policy, as models of devices do. */
  readonly edge: boolean;
  readonly state: string;
  readonly aliases: readonly string[];
  readonly pushedBy: string;
  readonly pushedAt: string;
  /** Null: it was not judged. */
  readonly gate: (Omit<NonNullable<Model["gate"]>, "judgedAt"> & { readonly judgedAt: string }) | null;
  /** Of a challenger that is not judged yet: how far it is, or why it is not. */
  readonly judging: Judging | null;
  readonly revoked: { readonly by: string; readonly reason: string; readonly at: string } | null;
};

export function viewOf(model: Model, aliases: readonly string[], judging: Judging | undefined): ModelView {
  const { gate, revoked, packageBytes, pushedAt, ...rest } = model;
  return {
    ...rest,
    packageBytes: Number(packageBytes),
    aliases,
    pushedAt: isoOf(pushedAt),
    gate: gate === null ? null : { ...gate, judgedAt: isoOf(gate.judgedAt) },
    judging: judging ?? null,
    revoked: revoked === null ? null : { ...revoked, at: isoOf(revoked.at) },
  };
}

const isoOf = (at: number): string => new Date(at).toISOString();
