/** What the CLI reads of rollouts in the public API (`/api/v1/openapi.json`). */
import type { AnalysisEvidence, PauseReason, ToldChange, Verdict, WrittenSpec } from "@tributary/rollouts";

export type Named = { readonly digest: string; readonly name: string | null; readonly version: string | null };

export type Rollout = {
  readonly uid: string;
  readonly name: string;
  readonly version: number;
  readonly slot: string;
  readonly model: Named;
  readonly stable: Named;
  readonly phase: "Unknown" | "Progressing" | "Paused" | "Healthy" | "Degraded";
  readonly step: number;
  readonly steps: number;
  readonly weight: number;
  readonly actualWeight: number;
  readonly analysis: "Unknown" | "Pending" | "Running" | Verdict;
  readonly message: string;
  readonly pausedUntil: string | null;
  readonly isBack: boolean;
  /** Devices that a person left with the model; undefined: an older gateway says it. */
  readonly abandoned?: { readonly devices: number; readonly some: readonly string[] } | null;
  readonly devices: number;
  readonly reached: number;
  readonly updated: number;
  readonly refused: number;
  readonly createdAt: string;
  readonly changedAt: string;
};

export type RolloutDetail = Rollout & {
  readonly spec: WrittenSpec;
  readonly evidence: AnalysisEvidence | Readonly<Record<string, unknown>>;
};

/** A change beside when it was, and by whom; fields of other kinds are absent. */
export type Event = ToldChange & {
  readonly version: number;
  readonly at: string;
  readonly by: string;
  readonly reason?: PauseReason;
};

export type RolloutDevice = {
  readonly deviceId: string;
  readonly arm: "canary" | "control" | "rest";
  readonly reached: boolean;
  readonly runs: "model" | "stable" | "other" | "unknown";
  readonly goldenPassed: boolean | null;
  readonly update: {
    readonly phase: string;
    readonly code: string;
    readonly reason: string;
    readonly bytesDone: number;
    readonly bytesAll: number;
  } | null;
  readonly reportedAt: string | null;
};

type Arm = { readonly devices: number; readonly onModel: number; readonly phases: Readonly<Record<string, number>> };
export type RolloutDevices = {
  readonly items: readonly RolloutDevice[];
  readonly total: number;
  readonly arms: { readonly canary: Arm; readonly control: Arm; readonly rest: Arm };
};
