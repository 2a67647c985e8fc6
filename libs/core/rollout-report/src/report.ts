import type { AnalysisEvidence, RolloutEvent } from "@tributary/rollouts";

export type Package = { readonly digest: string; readonly name: string | null; readonly version: string | null };

export type ReportContext = {
  readonly model: Package;
  readonly stable: Package;
  /** Of an analysis that still runs. */
  readonly live: AnalysisEvidence | null;
};

export function reportOf(_events: readonly RolloutEvent[], _context: ReportContext): string {
  return "<!doctype html>";
}
