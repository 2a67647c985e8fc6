/** What happens to a rollout, one event after the other. The log of these events is the rollout.
 *
 * V1. Kafka has no compare-and-set: an event counts only if its version is the last valid one + 1 in log order. Its
 *     writer acts only after reading it back as valid. So any number of instances may propose, and one wins. */
import type { Instant } from "@tributary/kernel";
import type { ExperimentChange } from "./experiment/events.ts";
import type { Segments } from "./segments.ts";
import type { RolloutSpec } from "./spec.ts";

export type Verdict = "Successful" | "Failed" | "Inconclusive" | "NoData" | "Error";

/** Numbers behind a transition, as they were then: JSON, shown to people, never read back by the machine. */
export type Evidence = Readonly<Record<string, unknown>>;

export type PauseReason = "step" | "person" | "inconclusive" | "no-data" | "silent" | "error";

/** Devices that `abandoned` names. */
export const ABANDONED_NAMED_MAX = 100;

export type RolloutChange =
  | {
      readonly kind: "created";
      readonly spec: RolloutSpec;
      /** Digest of the package to roll out, and of the one to roll back to. */
      readonly modelDigest: string;
      readonly stableDigest: string;
      /** Every device of the rollout in the order in which it is reached, see `assignCohorts`. */
      readonly order: readonly string[];
      /** Of each of these, the number of its stratum, where it is known. */
      readonly strata?: readonly number[];
      /** What is judged beside the whole. Absent: nothing. */
      readonly segments?: Segments;
      /** What `latency-met` allows a frame, in ms: figures of the devices as they ran the model before, frozen here so that no
       * model's own claim is needed. Absent: nothing was known of them. */
      readonly latencyMsMax?: number;
    }
  | { readonly kind: "step-started"; readonly step: number }
  | { readonly kind: "step-finished"; readonly step: number; readonly evidence: Evidence }
  | {
      readonly kind: "analysed";
      readonly step: number;
      readonly verdict: Verdict;
      /** Of an undecided one: why harm is likely all the same, in words. Absent: it is not. */
      readonly suspicion?: string;
      readonly evidence: Evidence;
    }
  | {
      readonly kind: "paused";
      readonly reason: PauseReason;
      readonly untilMs: Instant | null;
      readonly evidence: Evidence;
    }
  | { readonly kind: "resumed"; readonly evidence: Evidence }
  /** A person widens without evidence; it stands in the log with their name. */
  | { readonly kind: "promoted"; readonly full: boolean; readonly evidence: Evidence }
  | { readonly kind: "aborted"; readonly why: string; readonly evidence: Evidence }
  /** No device infers with the model any more. */
  | { readonly kind: "rolled-back"; readonly evidence: Evidence }
  /** A person ended the rollback while devices still run the model: these, the first of them by name. */
  | {
      readonly kind: "abandoned";
      readonly devices: number;
      readonly some: readonly string[];
      readonly evidence: Evidence;
    }
  | { readonly kind: "retried"; readonly evidence: Evidence }
  | { readonly kind: "completed"; readonly evidence: Evidence };

/** An event of the log. */
export type EventOf<Change> = {
  /** Of the rollout or experiment. */
  readonly uid: string;
  /** From 1, for what creates it. */
  readonly version: number;
  readonly at: Instant;
  /** A person's name, or the service's. */
  readonly by: string;
  readonly change: Change;
};
export type RolloutEvent = EventOf<RolloutChange>;
export type ExperimentEvent = EventOf<ExperimentChange>;
export type LogEvent = RolloutEvent | ExperimentEvent;

export const isExperimentEvent = (event: LogEvent): event is ExperimentEvent =>
  event.change.kind.startsWith("experiment-");
