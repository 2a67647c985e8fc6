/** What an experiment saw at a look, and the record of its decision: plain JSON for people and other programs, never read back by the machine. */
import type { Instant } from "@tributary/kernel";
import type { Band } from "../judge/evidence.ts";
import type { Forecast } from "../judge/forecast.ts";
import type { GridCell } from "./flips.ts";
import type { ArmVerdict, ExperimentLogs } from "./judge.ts";
import type { LaneName, Rates } from "./lanes.ts";

export const EXPERIMENT_FORMAT = "tributary.experiment/1";

/** Arm less control; without a band while it is unbounded. */
export type ShownDifference = { readonly estimate: number; readonly band: Band | null };

export type ArmComparison = {
  /** The first that it had: later looks do not change it. */
  readonly verdict: ArmVerdict;
  /** Of `reject`. */
  readonly because: "utility" | "late" | null;
  readonly logs: ExperimentLogs;
  /** Currency per frame. */
  readonly gain: ShownDifference;
  readonly lanes: Readonly<Record<LaneName, ShownDifference>>;
  readonly missing: { readonly difference: Forecast; readonly equivalence: Forecast } | null;
  /** Of a decided experiment: by the multiples of `gridMultiples`, and the value of each weight at which the arms are worth the same. */
  readonly grid: readonly (readonly GridCell[])[] | null;
  readonly flipsAt: Readonly<Record<LaneName, number | null>> | null;
};

export type ArmEvidence = {
  readonly name: string;
  readonly policyVersion: string;
  /** As assigned. */
  readonly devices: number;
  /** Of these, how many report that they decide by the arm's policy, and how many had frames decided by it. */
  readonly onPolicy: number;
  readonly reporting: number;
  /** Devices whose frames name another arm, or another policy: the first of them. */
  readonly elsewhere: readonly string[];
  /** Of all its devices; of `correct` those with a label. */
  readonly frames: Readonly<Record<LaneName, number>>;
  /** Means of its devices; null: no frames. */
  readonly rates: Readonly<Record<LaneName, number | null>>;
  /** Currency per frame; null while a rate is missing. */
  readonly utility: number | null;
  /** Capture to final answer, in ms; null: no frames. */
  readonly latency: { readonly p50Ms: number; readonly p99Ms: number } | null;
  /** What the cloud calls that its policy wanted cost for 1,000 frames, as the router was configured; null: no frames. */
  readonly callCostPer1000: number | null;
  /** With the control; null for it, in the burn-in, and while a lane has too little. */
  readonly comparison: ArmComparison | null;
};

export type ExperimentEvidence = {
  readonly format: typeof EXPERIMENT_FORMAT;
  readonly at: Instant;
  readonly startedAt: Instant;
  readonly currency: string;
  readonly weights: Rates;
  readonly rope: number;
  readonly lateMargin: number;
  readonly alpha: number;
  /** ln e that a verdict needs. */
  readonly logNeeded: number;
  readonly deadlineMs: number;
  readonly arms: readonly ArmEvidence[];
  /** Do as many devices report as were assigned? ln e against it, and what the alarm needs. While it lasts no verdict is taken. */
  readonly sampleRatio: {
    readonly log: number;
    readonly logNeeded: number;
    /** Of the exact test at the first look after the burn-in, over all arms; null: not made yet, or by a writer before there was one. */
    readonly exactP?: number | null;
    readonly isMismatch: boolean;
  };
  /** Are drawn frames of all arms labelled alike? As above; absent: by a writer before there was one. */
  readonly labelledShare?: { readonly log: number; readonly logNeeded: number; readonly isUnlike: boolean };
  /** Why nothing is decided yet, or what decided. */
  readonly why: string;
  /** Of a decision: when it is to be looked at again, at the latest; a new edge model is an occasion as well. */
  readonly reviewAt: Instant | null;
};

export const experimentEvidenceOf = (evidence: unknown): ExperimentEvidence | null =>
  (evidence as { format?: unknown } | null)?.format === EXPERIMENT_FORMAT ? (evidence as ExperimentEvidence) : null;
