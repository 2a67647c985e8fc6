/** What happens to an experiment. Its events stand in the log of rollouts, since both hold devices: one order decides who may (log.ts L2). */
import type { Instant } from "@tributary/kernel";
import type { ExperimentEvidence } from "./evidence.ts";
import type { ExperimentLogs, Judged } from "./judge.ts";
import type { ExperimentSpec } from "./spec.ts";

/** `hold`: undecided at its end; a person decides. */
export type ExperimentVerdict = "adopt" | "reject" | "equivalent" | "hold";

/** The first verdict of an arm, by which evidence, and the moment of the look that found it. */
export type ArmJudged = {
  readonly arm: string;
  readonly verdict: Exclude<Judged["verdict"], "undecided">;
  readonly because: Judged["because"];
  readonly logs: ExperimentLogs;
  readonly lookedAt: Instant;
};

export type ExperimentChange =
  | {
      readonly kind: "experiment-created";
      readonly spec: ExperimentSpec;
      /** By arm, in the order of the specification: the whole version of its policy, hex, and how many devices it has. */
      readonly arms: readonly { readonly policyVersion: string; readonly devices: number }[];
      /** Every device, see `assignCohorts`: those of the first arm, then those of the second, and so on. */
      readonly order: readonly string[];
      /** Of each of these, the number of its stratum, where it is known. */
      readonly strata?: readonly number[];
      /** What the policies are for: edge package, hex, and cloud target; and their one deadline, in ms. */
      readonly modelDigest: string;
      readonly cloudTarget: string;
      readonly deadlineMs: number;
    }
  | ({ readonly kind: "experiment-arm-judged" } & ArmJudged)
  | {
      readonly kind: "experiment-decided";
      readonly verdict: ExperimentVerdict;
      /** Arm that is adopted. */
      readonly winner: string | null;
      readonly why: string;
      readonly evidence: ExperimentEvidence;
    }
  /** A person ended it. */
  | { readonly kind: "experiment-stopped"; readonly why: string; readonly evidence: ExperimentEvidence | null };

/** A change that is to be appended as this version of the experiment. */
export type ExperimentProposal = {
  readonly uid: string;
  readonly version: number;
  readonly change: ExperimentChange;
};
