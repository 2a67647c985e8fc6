/** The status of an update as the device reports it (schemas/device-reported.avsc, UpdateState), from its state alone. */
import { type Updates, unmet } from "./machine.ts";

export type UpdatePhase =
  | "WAITING"
  | "DOWNLOADING"
  | "VERIFYING"
  | "SHADOWING"
  | "PROBATION"
  | "COMMITTED"
  | "REFUSED"
  | "REVERTED";

/** How far a fetch is. */
export type Progress = {
  readonly phase: "WAITING" | "DOWNLOADING" | "VERIFYING";
  readonly bytesDone: number;
  readonly bytesAll: number;
};

export type UpdateStatus = {
  readonly generation: bigint;
  readonly modelDigest: string;
  readonly phase: UpdatePhase;
  readonly code: string;
  readonly reason: string;
};

const WAITS_FOR = {
  idle: "until the agent is notified that the device is idle",
  parked: "until the agent is notified that the device is parked",
  window: "until a maintenance window opens",
  clock: "there are maintenance windows, and the device's clock is not synchronised",
} as const;

/** Null: nothing was wanted so far. */
export function updateStatusOf(state: Updates, fetched: Progress["phase"]): UpdateStatus | null {
  const { durable, stage, trouble } = state;
  const { generation, wanted, outcome } = durable;
  if (wanted === null) return null;
  const status = (phase: UpdatePhase, code = "", reason = ""): UpdateStatus => ({
    generation,
    modelDigest: wanted.digest,
    phase,
    code,
    reason,
  });
  const waits = () => {
    const what = unmet(state);
    if (what === null) return status("WAITING");
    return status("WAITING", `condition-${what}`, WAITS_FOR[what]);
  };
  // A commit or a revert under way is not done yet.
  if (stage.kind !== "acting") {
    if (stage.kind === "probation") return status("PROBATION");
    if (stage.kind === "holding" && outcome === null) return waits();
    return outcome === null ? status("WAITING") : status(outcome.phase, outcome.code, outcome.reason);
  }
  if (stage.isCalledOff) return status("WAITING", "", "until the update before it has stopped");
  const { action } = stage;
  switch (action.kind) {
    case "fetch":
      return fetched === "WAITING" ? status("WAITING", "metadata", "until signed metadata is here") : status(fetched);
    case "wait":
      return status("WAITING", trouble?.code, trouble?.reason);
    case "prove":
      return status("VERIFYING");
    case "shadow":
      return status("SHADOWING");
    case "unload":
      return action.thenHold ? waits() : status("WAITING");
    case "switch":
    case "commit":
    case "restore":
      return status("PROBATION");
    case "save":
      return outcome === null ? status("WAITING") : status(outcome.phase, outcome.code, outcome.reason);
    default:
      return action satisfies never;
  }
}
