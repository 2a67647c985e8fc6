/** A version as people and programs see it. */
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
  readonly gate: {
    /** `forced`: it did not pass, and somebody answers for it. */
    readonly verdict: "passed" | "failed" | "forced";
    readonly championDigest: string;
    readonly failed: readonly string[];
    /** Paths of the report at this registry; null where nothing was compared. */
    readonly report: string | null;
    readonly page: string | null;
    readonly judgedAt: string;
    readonly forcedBy: string | null;
    readonly forcedReason: string | null;
  } | null;
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
    gate: gate === null ? null : gateViewOf(gate),
    judging: judging ?? null,
    revoked: revoked === null ? null : { ...revoked, at: isoOf(revoked.at) },
  };
}

const gateViewOf = (gate: NonNullable<Model["gate"]>): NonNullable<ModelView["gate"]> => ({
  verdict: gate.passed ? "passed" : gate.forcedBy === "" ? "failed" : "forced",
  championDigest: gate.championDigest,
  failed: gate.failed,
  report: pathOf(gate.reportDigest),
  page: pathOf(gate.pageDigest),
  judgedAt: isoOf(gate.judgedAt),
  forcedBy: gate.forcedBy || null,
  forcedReason: gate.forcedReason || null,
});

const pathOf = (digest: string): string | null => (digest === "" ? null : `/blobs/sha256/${digest}`);
const isoOf = (at: number): string => new Date(at).toISOString();
