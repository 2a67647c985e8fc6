/**
 * How a device follows its desired state in one slot: from the inputs, the one next action and the status to report. Pure; time
 * is an action that waits, chance comes in for its jitter.
 *
 * U1. One action at a time. Each ends with one `done`, also one that is called off.
 * U2. A package is loaded only once fetched, that is, listed by signed metadata and checked byte for byte; it answers frames
 *     only once proved on this device. The factory's and the committed one are stored on the device, and trusted (G6).
 * U3. A generation lower than one seen is ignored, an equal one changes nothing (G6).
 * U4. Before the switch a failure refuses the generation; after it the device reverts to the last committed package by itself.
 *     Either is final for this generation, and has its reason. Only what the network or the disk may repair is tried again, a
 *     bounded number of times.
 * U5. The count of trials is incremented before a package is tried, and decremented when the try ended by itself or the agent
 *     was stopped gracefully: a package that crashes the device is tried a bounded number of times.
 * U6. The durable state that an action carries is on disk before the action starts; reverting needs none (G7).
 * U7. A package is switched to only while its condition holds, at that moment: whoever switches asks `unmet` after the write.
 * U8. In a slot that is `onlyParked`, nothing changes while the device drives: a switch and a revert wait until it is parked, whatever is
 *     wanted, and a trial goes on answering until then. A start of the agent knows of no parking. If it loses what answered before, nothing
 *     answers in its place until the device is parked (`isInterrupted`).
 */
import { type Backoff, backoffMs, type Digest, type Instant, type Random } from "@tributary/kernel";
import type { Condition, DurableState, Outcome, PackageRef, Wanted } from "./durable-state.ts";
import { judgeProbation, observed, type Probation, probationStart } from "./probation.ts";
import { isOpen } from "./windows.ts";

export type UpdateLimits = {
  /** In a generation, counted since the agent's start: of what is tried again `few` and `many` times. */
  readonly attemptsMax: { readonly few: number; readonly many: number };
  /** Times that a package is loaded in a generation, restarts included. */
  readonly trialsMax: number;
  readonly backoff: Backoff;
};

export const updateLimits: UpdateLimits = {
  attemptsMax: { few: 3, many: 100 },
  trialsMax: 5,
  backoff: { minMs: 1_000, maxMs: 300_000 },
};

export type ActionKind = Action["kind"];
export type Action = { readonly durable: DurableState } & (
  | { readonly kind: "wait"; readonly ms: number }
  /** Metadata, manifest and files; whole and checked on disk when it is done. */
  | { readonly kind: "fetch"; readonly wanted: Wanted }
  /** Load in a child, warm up, golden frames, latency. Done, it is loaded beside the active model. `wasActive`: it was
   * committed here; the active one may be why it is slow, and shall not stand in its way. */
  | { readonly kind: "prove"; readonly wanted: Wanted; readonly wasActive: boolean }
  | { readonly kind: "shadow"; readonly wanted: Wanted; readonly frames: number }
  /** Unload the proved one: until its condition holds, or because another is wanted. */
  | { readonly kind: "unload"; readonly thenHold: boolean }
  | { readonly kind: "switch"; readonly wanted: Wanted }
  /** The package that is switched to is committed; others but `good` and `previous` may be removed. */
  | { readonly kind: "commit" }
  /** Revert to the committed package, at once. */
  | { readonly kind: "restore" }
  /** Only the durable state. */
  | { readonly kind: "save" }
);

/** `many`: the network, the disk or memory may be better later. `few`: somebody has to look, but who answers may have been
 * another. `never`: it is the package's fault. */
export type Retry = "never" | "few" | "many";

export type Done =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: string; readonly reason: string; readonly retry: Retry };

export type Desired = { readonly generation: bigint; readonly wanted: Wanted | null };

export type Input =
  | { readonly kind: "desired"; readonly desired: Desired }
  | { readonly kind: "done"; readonly done: Done }
  | { readonly kind: "conditions"; readonly met: Conditions }
  /** A frame by the model in probation. */
  | { readonly kind: "answered"; readonly isSlow: boolean }
  /** It crashed, or gave an invalid answer. */
  | { readonly kind: "failing"; readonly code: string; readonly reason: string };

export type Conditions = {
  readonly idle: boolean;
  readonly parked: boolean;
  /** The wall's clock at the last report; null while it cannot be trusted. It is reported often while an update waits for a window. */
  readonly time: Instant | null;
};

/** What follows when the running action has ended. `before`: the durable state to keep should it fail. */
type Stage =
  | { readonly kind: "rest" }
  | { readonly kind: "acting"; readonly action: Action; readonly before: DurableState; readonly isCalledOff: boolean }
  | { readonly kind: "holding" }
  | { readonly kind: "probation"; readonly seen: Probation };

export type Updates = {
  readonly durable: DurableState;
  readonly stage: Stage;
  readonly factory: PackageRef;
  readonly conditions: Conditions;
  /** Of this generation since the agent's start. */
  readonly attempts: Attempts;
  /** Why it waits. */
  readonly trouble: { readonly code: string; readonly reason: string } | null;
  /** A package is loaded beside the active one. */
  readonly isLoaded: boolean;
  readonly isShadowed: boolean;
  /** U8. */
  readonly onlyParked: boolean;
  /** What answered before the agent's start is lost, and the committed package waits to follow it. (U8) */
  readonly isInterrupted: boolean;
  /** Generation of the last durable state that an action carried. */
  readonly savedGeneration: bigint;
  readonly limits: UpdateLimits;
};

/** `next`: an action to start now. `callOff`: the running action is no longer wanted, and shall end soon. */
export type Step = { readonly state: Updates; readonly next: Action | null; readonly callOff: boolean };

export type Boot = {
  readonly durable: DurableState;
  readonly factory: PackageRef;
  /** Verified, and active: the committed one, the previous one, or the factory's. */
  readonly running: Digest;
  /** What answers changes only while the device is parked, whatever is wanted. (U8) */
  readonly onlyParked?: boolean;
  readonly limits?: UpdateLimits;
};

type Attempts = { readonly few: number; readonly many: number };

/** Code of a switch that did not happen, since its condition no longer held (U7). */
export const CONDITION_ENDED = "condition-ended";

const NO_ATTEMPTS: Attempts = { few: 0, many: 0 };
const NO_CONDITION: Conditions = { idle: false, parked: false, time: null };

/** What runs at boot is never the trial: an interrupted one has to earn its place again. (G7) */
export function bootUpdates({ durable, factory, running, onlyParked = false, limits = updateLimits }: Boot): Step {
  const isRotten = running !== digestOf(durable.good, factory);
  const good =
    running === factory.digest ? null : running === durable.previous?.digest ? durable.previous : durable.good;
  // A second start must still know what answered before the first. (U8)
  const trial = onlyParked ? (durable.trial ?? (isRotten ? durable.good : null)) : null;
  const initial: DurableState = {
    ...durable,
    ...settledAtBoot(durable, running, isRotten ? durable.good : null),
    good,
    previous: isRotten ? null : durable.previous,
    trial,
  };
  const state: Updates = {
    durable: initial,
    stage: { kind: "rest" },
    factory,
    conditions: NO_CONDITION,
    attempts: NO_ATTEMPTS,
    trouble: null,
    isLoaded: false,
    isShadowed: false,
    onlyParked,
    isInterrupted: trial !== null,
    savedGeneration: durable.generation,
    limits,
  };
  if (state.isInterrupted) return act(state, { kind: "save", durable: initial });
  if (initial.wanted === null || initial.outcome !== null) {
    return durable.trial === null && !isRotten ? only(state) : act(state, { kind: "save", durable: initial });
  }
  return proceed(state);
}

/** The durable state of a generation that has ended, given what really runs. `lost`: was committed, and could not be loaded. */
function settledAtBoot({ wanted, outcome, trials }: DurableState, running: Digest, lost: PackageRef | null) {
  if (outcome?.phase === "COMMITTED" && wanted?.digest !== running) return { wanted, outcome: null, trials: 0 };
  // It need not be the disk's fault, and no generation would ever ask for it again.
  if (outcome !== null && lost !== null) return { wanted: asCommitted(lost), outcome: null, trials: 0 };
  return { wanted, outcome, trials };
}

const asCommitted = (ref: PackageRef): Wanted => ({
  digest: ref.digest,
  name: ref.name,
  version: ref.version,
  shadowFrames: 0,
  probationFrames: 0,
  condition: "ANY",
  windows: [],
});

/** The durable state to write when the agent is stopped gracefully: a try that this cuts short did not crash the device (U5).
 * Null: the one on disk is complete. */
export function stopped({ durable, stage, isInterrupted }: Updates): DurableState | null {
  const isTrying =
    (durable.trial !== null && !isInterrupted) || (stage.kind === "acting" && TRIES.has(stage.action.kind));
  return isTrying && durable.outcome === null ? releaseTrial(durable) : null;
}

const TRIES: ReadonlySet<ActionKind> = new Set(["prove", "shadow", "switch"]);
const releaseTrial = (durable: DurableState): DurableState => ({ ...durable, trials: Math.max(0, durable.trials - 1) });
const slotsOf = ({ good, previous, trial }: DurableState) => ({ good, previous, trial });

export function step(state: Updates, input: Input, random: Random): Step {
  switch (input.kind) {
    case "desired":
      return onDesired(state, input.desired);
    case "done":
      return onDone(state, input.done, random);
    case "conditions": {
      const updated: Updates = { ...state, conditions: input.met };
      if (updated.stage.kind !== "holding") return only(updated);
      if (updated.durable.trial !== null) return mayRestore(updated) ? proceed(updated) : only(updated);
      return isMet(updated) ? prove(updated) : only(updated);
    }
    case "answered":
      return onAnswered(state, input.isSlow);
    case "failing":
      return onFailing(state, input);
    default:
      return input satisfies never;
  }
}

/** The package that answers frames. */
export const activePackage = ({ durable, factory }: Updates): PackageRef => durable.trial ?? durable.good ?? factory;

function onDesired(state: Updates, { generation, wanted }: Desired): Step {
  if (generation <= state.durable.generation) return only(state);
  if (wanted === null) {
    // A slot that is not named stays as it is, also during an update; only the generation is to be kept.
    const updated: Updates = { ...state, durable: { ...state.durable, generation } };
    return updated.stage.kind === "rest" ? proceed(updated) : only(updated);
  }
  const durable: DurableState = { ...state.durable, generation, wanted, trials: 0, outcome: null };
  const accepted: Updates = { ...state, durable, attempts: NO_ATTEMPTS, trouble: null, isShadowed: false };
  if (state.stage.kind === "acting") {
    // Its end continues with the newer one. (U1)
    return { state: { ...accepted, stage: { ...state.stage, isCalledOff: true } }, next: null, callOff: true };
  }
  return proceed(accepted);
}

function onDone(state: Updates, done: Done, random: Random): Step {
  const { stage } = state;
  if (stage.kind !== "acting") return only(state);
  const { action, before } = stage;
  // A switch or a commit that failed has taken nothing over.
  const isUndone = !done.ok && (action.kind === "switch" || action.kind === "commit");
  const durable: DurableState = isUndone ? { ...state.durable, ...slotsOf(before) } : state.durable;
  const after: Updates = {
    ...state,
    durable,
    stage: { kind: "rest" },
    isLoaded: isLoadedAfter(state.isLoaded, action.kind, done.ok),
  };
  if (stage.isCalledOff) return proceed(after);
  if (!done.ok) return onFailed(after, action.kind, done, random);
  switch (action.kind) {
    case "wait":
      return proceed(after);
    case "fetch":
      return prove(after);
    case "prove":
      if (!after.isShadowed && action.wanted.shadowFrames > 0) {
        return act(after, {
          kind: "shadow",
          wanted: action.wanted,
          frames: action.wanted.shadowFrames,
          durable: after.durable,
        });
      }
      return switchOrHold(after, action.wanted);
    case "shadow":
      return switchOrHold({ ...after, isShadowed: true }, action.wanted);
    case "unload":
      return action.thenHold ? hold(after) : proceed(after);
    case "switch":
      return judged({ ...after, trouble: null, stage: { kind: "probation", seen: probationStart } });
    case "save":
      return afterSave(after);
    case "commit":
    case "restore":
      return proceed(after);
    default:
      return action satisfies never;
  }
}

/** Whether a proved package is loaded beside the active one. One that failed was unloaded by its action. */
const isLoadedAfter = (isLoaded: boolean, kind: ActionKind, ok: boolean): boolean => {
  if (kind === "prove" || kind === "shadow") return ok;
  return kind === "switch" || kind === "unload" ? false : isLoaded;
};

function onFailed(
  state: Updates,
  kind: ActionKind,
  { code, reason, retry }: Done & { ok: false },
  random: Random,
): Step {
  switch (kind) {
    case "wait":
    case "unload":
    case "restore":
      return proceed(state);
    case "save":
      // Nothing depends on it: a durable state that could not be written names less than there is, never more.
      return afterSave(state);
    case "commit": {
      const attempts = oneMore(state, retry);
      if (attempts === null) return revert(state, { phase: "REVERTED", code, reason });
      // It keeps answering, on trial, and passes its probation once more.
      return waitFor({ ...state, attempts, trouble: { code, reason } }, { ...state.durable, outcome: null }, random);
    }
    case "fetch":
    case "prove":
    case "shadow":
    case "switch": {
      // The condition ended meanwhile: that is no failure of the package. (U7)
      if (code === CONDITION_ENDED) {
        return act(state, { kind: "unload", thenHold: true, durable: releaseTrial(state.durable) });
      }
      const attempts = oneMore(state, retry);
      if (attempts === null) return end(state, { phase: "REFUSED", code, reason });
      const durable = kind === "fetch" ? state.durable : releaseTrial(state.durable);
      return waitFor({ ...state, attempts, trouble: { code, reason } }, durable, random);
    }
    default:
      return kind satisfies never;
  }
}

/** Null: that was the last. Each kind has a count of its own: failures of an unreachable registry do not count for another kind. */
function oneMore({ attempts, limits }: Updates, retry: Retry): Attempts | null {
  if (retry === "never" || attempts[retry] + 1 >= limits.attemptsMax[retry]) return null;
  return { ...attempts, [retry]: attempts[retry] + 1 };
}

const waitFor = (state: Updates, durable: DurableState, random: Random): Step =>
  act(state, {
    kind: "wait",
    ms: backoffMs(state.limits.backoff, state.attempts.few + state.attempts.many - 1, random),
    durable,
  });

const afterSave = (state: Updates): Step =>
  isOnTrial(state)
    ? judged({ ...state, trouble: null, stage: { kind: "probation", seen: probationStart } })
    : proceed(state);

function onAnswered(state: Updates, isSlow: boolean): Step {
  if (state.stage.kind !== "probation") return only(state);
  return judged({ ...state, stage: { kind: "probation", seen: observed(state.stage.seen, isSlow) } });
}

function judged(state: Updates): Step {
  const { durable, stage } = state;
  if (stage.kind !== "probation" || durable.wanted === null || durable.trial === null) return only(state);
  switch (judgeProbation(stage.seen, durable.wanted.probationFrames)) {
    case "goes-on":
      return only(state);
    case "too-slow":
      return revert(state, {
        phase: "REVERTED",
        code: "model-too-slow",
        reason: `${stage.seen.slow} of ${stage.seen.answered} frames in probation took longer than its latency budget`,
      });
    case "passed": {
      const committed: DurableState = {
        ...durable,
        good: refUnlessFactory(durable.trial, state.factory),
        previous: durable.good,
        trial: null,
        outcome: { phase: "COMMITTED", code: "", reason: "" },
      };
      // The state's own durable state changes when the action ends: until then the package is on trial.
      return act(state, { kind: "commit", durable: committed });
    }
  }
}

function onFailing(state: Updates, { code, reason }: { readonly code: string; readonly reason: string }): Step {
  if (state.stage.kind !== "probation") return only(state);
  return revert(state, { phase: "REVERTED", code, reason });
}

/** The next action for the wanted package. */
function proceed(state: Updates): Step {
  const { durable, factory, limits } = state;
  const { wanted } = durable;
  // The same package is on trial already: its probation restarts, for the newer generation.
  if (isOnTrial(state)) return act(state, { kind: "save", durable });
  if (durable.trial !== null) {
    if (mayRestore(state)) return restore(state);
    const isSaved = state.savedGeneration >= durable.generation;
    return isSaved ? only({ ...state, stage: { kind: "holding" } }) : act(state, { kind: "save", durable });
  }
  if (wanted === null || durable.outcome !== null) {
    if (state.isLoaded) return act(state, { kind: "unload", thenHold: false, durable });
    return state.savedGeneration < durable.generation ? act(state, { kind: "save", durable }) : only(rested(state));
  }
  if (wanted.digest === digestOf(durable.good, factory))
    return end(state, { phase: "COMMITTED", code: "", reason: "" });
  if (conditionOf(state) === "UNKNOWN") {
    return end(state, {
      phase: "REFUSED",
      code: "condition-unknown",
      reason: "it names a condition that this agent does not know: update the agent",
    });
  }
  if (durable.trials >= limits.trialsMax) {
    return end(state, {
      phase: "REVERTED",
      code: "update-interrupted",
      reason: `the agent ended ${durable.trials} times while it tried the model`,
    });
  }
  if (state.isLoaded) return act(state, { kind: "unload", thenHold: false, durable });
  // The factory's package was installed by the operator (U2).
  if (wanted.digest === factory.digest) return prove(state);
  return act(state, { kind: "fetch", wanted, durable });
}

function prove(state: Updates): Step {
  const { wanted } = state.durable;
  if (wanted === null) return only(rested(state));
  const durable: DurableState = { ...state.durable, trials: state.durable.trials + 1 };
  const wasActive = wanted.digest === durable.previous?.digest || wanted.digest === state.factory.digest;
  return act({ ...state, durable }, { kind: "prove", wanted, wasActive, durable });
}

function switchOrHold(state: Updates, wanted: Wanted): Step {
  // A package that waits loaded would cost memory for as long as nobody parks.
  if (!isMet(state)) return act(state, { kind: "unload", thenHold: true, durable: releaseTrial(state.durable) });
  const { digest, name, version } = wanted;
  return act(state, { kind: "switch", wanted, durable: { ...state.durable, trial: { digest, name, version } } });
}

function hold(state: Updates): Step {
  if (state.durable.outcome !== null || state.durable.wanted === null) return only(rested(state));
  return isMet(state) ? prove(state) : only({ ...state, stage: { kind: "holding" } });
}

function revert(state: Updates, outcome: Outcome): Step {
  return mayRestore(state) ? restore({ ...state, durable: { ...state.durable, outcome } }) : end(state, outcome);
}

function restore(state: Updates): Step {
  const durable: DurableState = { ...state.durable, trial: null };
  return act({ ...state, durable, trouble: null, isInterrupted: false }, { kind: "restore", durable });
}

function end(state: Updates, outcome: Outcome): Step {
  const durable: DurableState = { ...state.durable, outcome };
  return act({ ...state, durable, trouble: null }, { kind: "save", durable });
}

const act = (state: Updates, action: Action): Step => ({
  state: {
    ...state,
    durable: action.durable,
    savedGeneration: action.durable.generation,
    stage: { kind: "acting", action, before: state.durable, isCalledOff: false },
  },
  next: action,
  callOff: false,
});

const only = (state: Updates): Step => ({ state, next: null, callOff: false });
const rested = (state: Updates): Updates => ({ ...state, stage: { kind: "rest" } });

const digestOf = (ref: PackageRef | null, factory: PackageRef): Digest => ref?.digest ?? factory.digest;
const refUnlessFactory = (ref: PackageRef, factory: PackageRef): PackageRef | null =>
  ref.digest === factory.digest ? null : ref;

/** It answers frames, and is what is wanted. */
const isOnTrial = ({ durable: { trial, wanted, outcome }, isInterrupted }: Updates): boolean =>
  trial !== null && !isInterrupted && outcome === null && wanted?.digest === trial.digest;

const mayRestore = ({ onlyParked, conditions }: Updates): boolean => !onlyParked || conditions.parked;

/** The slot's own goes before the one that is wanted. */
const conditionOf = ({ durable: { wanted }, onlyParked }: Updates): Condition =>
  onlyParked ? "PARKED" : (wanted?.condition ?? "ANY");

const isMet = (state: Updates): boolean => unmet(state) === null;

/** What the switch waits for; null: nothing. */
export function unmet(state: Updates): "idle" | "parked" | "window" | "clock" | null {
  const { durable, conditions } = state;
  const condition = conditionOf(state);
  const windows = durable.wanted?.windows ?? [];
  if (condition === "IDLE" && !conditions.idle) return "idle";
  if (condition === "PARKED" && !conditions.parked) return "parked";
  if (windows.length === 0) return null;
  if (conditions.time === null) return "clock";
  return isOpen(windows, conditions.time) ? null : "window";
}
