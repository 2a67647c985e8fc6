/** What a device says of its update (schemas/device-reported.avsc, UpdateState), from its state alone. */
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

export type Said = {
  readonly generation: bigint;
  readonly modelDigest: string;
  readonly phase: UpdatePhase;
  readonly code: string;
  readonly reason: string;
};

const WAITS_FOR = {
  idle: "until the device is told that it is idle",
  parked: "until the device is told that it is parked",
  window: "until a maintenance window opens",
  clock: "there are maintenance windows, and the device's clock is not synchronised",
} as const;

/** Null: nothing was wanted so far. */
export function saidOf(state: Updates, fetched: Progress["phase"]): Said | null {
  const { book, stage, trouble } = state;
  const { generation, wanted, outcome } = book;
  if (wanted === null) return null;
  const say = (phase: UpdatePhase, code = "", reason = ""): Said => ({
    generation,
    modelDigest: wanted.digest,
    phase,
    code,
    reason,
  });
  const waits = () => {
    const what = unmet(state);
    if (what === null) return say("WAITING");
    return say("WAITING", `condition-${what}`, WAITS_FOR[what]);
  };
  // What is being committed or rolled back is not so yet.
  if (stage.kind !== "acting") {
    if (stage.kind === "probation") return say("PROBATION");
    if (stage.kind === "holding") return waits();
    return outcome === null ? say("WAITING") : say(outcome.phase, outcome.code, outcome.reason);
  }
  if (stage.isCalledOff) return say("WAITING", "", "until the update before it has stopped");
  const { action } = stage;
  switch (action.kind) {
    case "fetch":
      return fetched === "WAITING" ? say("WAITING", "metadata", "until signed metadata is here") : say(fetched);
    case "wait":
      return say("WAITING", trouble?.code, trouble?.reason);
    case "prove":
      return say("VERIFYING");
    case "shadow":
      return say("SHADOWING");
    case "unload":
      return action.thenHold ? waits() : say("WAITING");
    case "switch":
    case "commit":
    case "restore":
      return say("PROBATION");
    case "save":
      return outcome === null ? say("WAITING") : say(outcome.phase, outcome.code, outcome.reason);
    default:
      return action satisfies never;
  }
}
