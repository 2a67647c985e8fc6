/** Evidence that belongs together: what becomes one verdict. */
import type { DriftCause } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import type { NamedFault } from "./codebook.ts";
import type { CameraDrift } from "./findings.ts";
import type { ModelLook, SeenDevice } from "./fleet-view.ts";
import type { GoldenJudgement } from "./golden.ts";
import type { LossVerdict } from "./loss.ts";

export type Member = SeenDevice & {
  /** With evidence. */
  readonly cameras: readonly { readonly cameraId: string; readonly drift: CameraDrift }[];
  /** If this is the evidence: then it is of the whole device. */
  readonly golden: GoldenJudgement | null;
  readonly since: Instant;
  /** When its evidence sufficed. */
  readonly alarmedAt: Instant;
};

export type Scope = {
  readonly key: string;
  readonly value: string;
  /** Null where no place was tested. */
  readonly pValue: number | null;
  /** Devices of the scope that are compared. */
  readonly devices: number;
};

export type Step = { readonly question: string; readonly answer: string; readonly isCause: boolean };

export type MixChange = {
  readonly before: readonly number[];
  readonly now: readonly number[];
  readonly explained: number;
  /** From which on it is the cause. */
  readonly explainedMin: number;
  /** Why it cannot be the mix, whatever it explains; empty if it can. */
  readonly refuted: string;
};

export type Group = {
  readonly cause: DriftCause;
  readonly fault: NamedFault | null;
  readonly scope: Scope;
  readonly look: ModelLook;
  /** By device id. */
  readonly members: readonly Member[];
  /** When the last camera joined that changed in the same way, whether or not it is a member. */
  readonly joinedAt: Instant;
  /** Whether it is evidence enough for a verdict, or only keeps one (beyond-days.ts B4). */
  readonly opens: boolean;
  readonly mix: MixChange | null;
  /** Null until it is judged. */
  readonly loss: LossVerdict | null;
  readonly steps: readonly Step[];
};

/** A set of members that have a scope in common. */
export type Placement = { readonly scope: Scope; readonly members: readonly Member[] };

/** There may be 100,000 of them: too many for arguments of Math.min. */
export const earliest = (times: readonly Instant[]): Instant => times.reduce((a, b) => Math.min(a, b));

export const latest = (times: readonly Instant[]): Instant => times.reduce((a, b) => Math.max(a, b));

export const sinceOf = (members: readonly Member[]): Instant => earliest(members.map(({ since }) => since));
