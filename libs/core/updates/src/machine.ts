/**
 * How a device follows what it shall run, one slot: from the inputs, the one next action and what to say. Pure; time is an
 * action that waits, chance comes in for its jitter.
 *
 * U1. One action at a time. Each ends with one `done`, also one that is called off.
 * U2. (G6) A package is loaded only once fetched, that is, listed by signed metadata and checked byte for byte; it answers
 *     frames only once proved on this device. The factory's and the committed one stand on the device, and are trusted.
 * U3. (G6) A generation lower than one seen is ignored, an equal one changes nothing.
 * U4. Before the switch a failure refuses the generation; after it the device goes back to the last good package by itself.
 *     Either is final for this generation, and says why. Only what the network or the disk may mend is tried again, and
 *     not for ever.
 * U5. A package that is tried takes a number first, and gives it back when the try ended by itself or the agent was stopped in
 *     good order: one that takes the device down with it is tried so many times at most.
 * U6. (G7) The book an action carries is on disk before the action begins; going back needs no book.
 */
import { type Backoff, backoffMs, type Digest, type Instant, type Random } from "@tributary/kernel";
import type { Book, Outcome, PackageRef, Wanted } from "./book.ts";
import { judgeProbation, observed, type Probation, probationBegun } from "./probation.ts";
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
export type Action = { readonly book: Book } & (
  | { readonly kind: "wait"; readonly ms: number }
  /** Metadata, manifest and files; whole and checked on disk when it is done. */
  | { readonly kind: "fetch"; readonly wanted: Wanted }
  /** Load in a child, warm up, golden frames, latency. Done, it stands loaded beside the model at work. `wasAtWork`: it was
   * committed here; the one at work now may be why it is slow, and shall not stand in its way. */
  | { readonly kind: "prove"; readonly wanted: Wanted; readonly wasAtWork: boolean }
  | { readonly kind: "shadow"; readonly wanted: Wanted; readonly frames: number }
  /** Let the proved one go: until its condition holds, or because another is wanted. */
  | { readonly kind: "unload"; readonly thenHold: boolean }
  | { readonly kind: "switch"; readonly wanted: Wanted }
  /** The package that is switched to stands for good; others but `good` and `previous` may go. */
  | { readonly kind: "commit" }
  /** Back to the good package, at once. */
  | { readonly kind: "restore" }
  /** Only the book. */
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
  /** It crashed, or said what is no answer. */
  | { readonly kind: "failing"; readonly code: string; readonly reason: string };

export type Conditions = {
  readonly idle: boolean;
  readonly parked: boolean;
  /** The wall's clock when it was last told; null while it cannot be trusted. Whoever waits for a window is told it often. */
  readonly time: Instant | null;
};

/** What is done when the action at work has ended. `before`: the book that stands should it fail. */
type Stage =
  | { readonly kind: "rest" }
  | { readonly kind: "acting"; readonly action: Action; readonly before: Book; readonly isCalledOff: boolean }
  | { readonly kind: "holding" }
  | { readonly kind: "probation"; readonly seen: Probation };

export type Updates = {
  readonly book: Book;
  readonly stage: Stage;
  readonly factory: PackageRef;
  readonly conditions: Conditions;
  /** Of this generation since the agent's start. */
  readonly attempts: Attempts;
  /** Why it waits. */
  readonly trouble: { readonly code: string; readonly reason: string } | null;
  /** A package stands loaded beside the one at work. */
  readonly isLoaded: boolean;
  readonly isShadowed: boolean;
  /** Generation of the last book that an action carried. */
  readonly savedGeneration: bigint;
  readonly limits: UpdateLimits;
};

/** `next`: an action to begin now. `callOff`: the action at work is no longer wanted, and shall end soon. */
export type Step = { readonly state: Updates; readonly next: Action | null; readonly callOff: boolean };

export type Boot = {
  readonly book: Book;
  readonly factory: PackageRef;
  /** Verified, and at work: the good one, the previous one, or the factory's. */
  readonly running: Digest;
  readonly limits?: UpdateLimits;
};

type Attempts = { readonly few: number; readonly many: number };

const NO_ATTEMPTS: Attempts = { few: 0, many: 0 };
const NO_CONDITION: Conditions = { idle: false, parked: false, time: null };

/** What runs at boot is never the trial: an interrupted one has to earn its place again. (G7) */
export function bootUpdates({ book, factory, running, limits = updateLimits }: Boot): Step {
  const isRotten = running !== digestOf(book.good, factory);
  const good = running === factory.digest ? null : running === book.previous?.digest ? book.previous : book.good;
  const begun: Book = {
    ...book,
    ...settledAtBoot(book, running, isRotten ? book.good : null),
    good,
    previous: isRotten ? null : book.previous,
    trial: null,
  };
  const state: Updates = {
    book: begun,
    stage: { kind: "rest" },
    factory,
    conditions: NO_CONDITION,
    attempts: NO_ATTEMPTS,
    trouble: null,
    isLoaded: false,
    isShadowed: false,
    savedGeneration: book.generation,
    limits,
  };
  if (begun.wanted === null || begun.outcome !== null) {
    return book.trial === null && !isRotten ? only(state) : act(state, { kind: "save", book: begun });
  }
  return begin(state);
}

/** What a generation that has ended comes to, given what really runs. `lost`: was committed, and could not be loaded. */
function settledAtBoot({ wanted, outcome, trials }: Book, running: Digest, lost: PackageRef | null) {
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

/** The book to leave behind when the agent is stopped in good order: a try that this cuts short took nothing down. (U5)
 * Null: the one on disk says it all. */
export function stopped({ book, stage }: Updates): Book | null {
  const isTrying = book.trial !== null || (stage.kind === "acting" && TRIES.has(stage.action.kind));
  return isTrying && book.outcome === null ? giveBack(book) : null;
}

const TRIES: ReadonlySet<ActionKind> = new Set(["prove", "shadow", "switch"]);
const giveBack = (book: Book): Book => ({ ...book, trials: Math.max(0, book.trials - 1) });
const slotsOf = ({ good, previous, trial }: Book) => ({ good, previous, trial });

export function step(state: Updates, input: Input, random: Random): Step {
  switch (input.kind) {
    case "desired":
      return onDesired(state, input.desired);
    case "done":
      return onDone(state, input.done, random);
    case "conditions": {
      const told: Updates = { ...state, conditions: input.met };
      return told.stage.kind === "holding" && isMet(told) ? prove(told) : only(told);
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
export const atWork = ({ book, factory }: Updates): PackageRef => book.trial ?? book.good ?? factory;

function onDesired(state: Updates, { generation, wanted }: Desired): Step {
  if (generation <= state.book.generation) return only(state); // U3
  if (wanted === null) {
    // Not named, the slot stays as it is, on its way too; only the generation is to be kept.
    const told: Updates = { ...state, book: { ...state.book, generation } };
    return told.stage.kind === "rest" ? begin(told) : only(told);
  }
  const book: Book = { ...state.book, generation, wanted, trials: 0, outcome: null };
  const accepted: Updates = { ...state, book, attempts: NO_ATTEMPTS, trouble: null, isShadowed: false };
  if (state.stage.kind === "acting") {
    // What ends it goes on with the newer one. (U1)
    return { state: { ...accepted, stage: { ...state.stage, isCalledOff: true } }, next: null, callOff: true };
  }
  return begin(accepted);
}

function onDone(state: Updates, done: Done, random: Random): Step {
  const { stage } = state;
  if (stage.kind !== "acting") return only(state);
  const { action, before } = stage;
  // A switch or a commit that failed has taken nothing over.
  const isUndone = !done.ok && (action.kind === "switch" || action.kind === "commit");
  const book: Book = isUndone ? { ...state.book, ...slotsOf(before) } : state.book;
  const after: Updates = {
    ...state,
    book,
    stage: { kind: "rest" },
    isLoaded: isLoadedAfter(state.isLoaded, action.kind, done.ok),
  };
  if (stage.isCalledOff) return begin(after);
  if (!done.ok) return onFailed(after, action.kind, done, random);
  switch (action.kind) {
    case "wait":
      return begin(after);
    case "fetch":
      return prove(after);
    case "prove":
      if (!after.isShadowed && action.wanted.shadowFrames > 0) {
        return act(after, {
          kind: "shadow",
          wanted: action.wanted,
          frames: action.wanted.shadowFrames,
          book: after.book,
        });
      }
      return switchOrHold(after, action.wanted);
    case "shadow":
      return switchOrHold({ ...after, isShadowed: true }, action.wanted);
    case "unload":
      return action.thenHold ? hold(after) : begin(after);
    case "switch":
      return judged({ ...after, trouble: null, stage: { kind: "probation", seen: probationBegun } });
    case "save":
      return afterSave(after);
    case "commit":
    case "restore":
      return begin(after);
    default:
      return action satisfies never;
  }
}

/** Whether a proved package stands beside the one at work. One that failed was let go by who tried it. */
const isLoadedAfter = (isLoaded: boolean, kind: ActionKind, ok: boolean): boolean => {
  if (kind === "prove" || kind === "shadow") return ok;
  return kind === "switch" || kind === "unload" ? false : isLoaded;
};

// U4
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
      return begin(state);
    case "save":
      // Nothing depends on it: a book that could not be written says less than there is, never more.
      return afterSave(state);
    case "commit": {
      const attempts = oneMore(state, retry);
      if (attempts === null) return goBack(state, { phase: "REVERTED", code, reason });
      // It goes on answering, on trial, and passes its probation once more.
      return waitFor({ ...state, attempts, trouble: { code, reason } }, { ...state.book, outcome: null }, random);
    }
    case "fetch":
    case "prove":
    case "shadow":
    case "switch": {
      const attempts = oneMore(state, retry);
      if (attempts === null) return end(state, { phase: "REFUSED", code, reason });
      const book = kind === "fetch" ? state.book : giveBack(state.book); // U5
      return waitFor({ ...state, attempts, trouble: { code, reason } }, book, random);
    }
    default:
      return kind satisfies never;
  }
}

/** Null: that was the last. Each kind has a count of its own: a registry that was away excuses nothing else. */
function oneMore({ attempts, limits }: Updates, retry: Retry): Attempts | null {
  if (retry === "never" || attempts[retry] + 1 >= limits.attemptsMax[retry]) return null;
  return { ...attempts, [retry]: attempts[retry] + 1 };
}

const waitFor = (state: Updates, book: Book, random: Random): Step =>
  act(state, {
    kind: "wait",
    ms: backoffMs(state.limits.backoff, state.attempts.few + state.attempts.many - 1, random),
    book,
  });

const afterSave = (state: Updates): Step =>
  state.book.trial === null
    ? begin(state)
    : judged({ ...state, trouble: null, stage: { kind: "probation", seen: probationBegun } });

function onAnswered(state: Updates, isSlow: boolean): Step {
  if (state.stage.kind !== "probation") return only(state);
  return judged({ ...state, stage: { kind: "probation", seen: observed(state.stage.seen, isSlow) } });
}

function judged(state: Updates): Step {
  const { book, stage } = state;
  if (stage.kind !== "probation" || book.wanted === null || book.trial === null) return only(state);
  switch (judgeProbation(stage.seen, book.wanted.probationFrames)) {
    case "goes-on":
      return only(state);
    case "too-slow":
      return goBack(state, {
        phase: "REVERTED",
        code: "model-too-slow",
        reason: `${stage.seen.slow} of ${stage.seen.answered} frames in probation took longer than its latency budget`,
      });
    case "passed": {
      const committed: Book = {
        ...book,
        good: refUnlessFactory(book.trial, state.factory),
        previous: book.good,
        trial: null,
        outcome: { phase: "COMMITTED", code: "", reason: "" },
      };
      // The state's own book turns with the action's end: until then it is on trial.
      return act(state, { kind: "commit", book: committed });
    }
  }
}

function onFailing(state: Updates, { code, reason }: { readonly code: string; readonly reason: string }): Step {
  if (state.stage.kind !== "probation") return only(state);
  return goBack(state, { phase: "REVERTED", code, reason });
}

/** The next thing to do for what is wanted. */
function begin(state: Updates): Step {
  const { book, factory, limits } = state;
  const { wanted } = book;
  if (book.trial !== null) {
    // The same package is on trial already: its probation begins anew, for the newer generation.
    if (wanted?.digest === book.trial.digest && book.outcome === null) {
      return act(state, { kind: "save", book });
    }
    return act({ ...state, book: { ...book, trial: null } }, { kind: "restore", book: { ...book, trial: null } });
  }
  if (wanted === null || book.outcome !== null) {
    if (state.isLoaded) return act(state, { kind: "unload", thenHold: false, book });
    return state.savedGeneration < book.generation ? act(state, { kind: "save", book }) : only(rested(state));
  }
  if (wanted.digest === digestOf(book.good, factory)) return end(state, { phase: "COMMITTED", code: "", reason: "" });
  if (wanted.condition === "UNKNOWN") {
    return end(state, {
      phase: "REFUSED",
      code: "condition-unknown",
      reason: "it names a condition that this agent does not know: update the agent",
    });
  }
  if (book.trials >= limits.trialsMax) {
    return end(state, {
      phase: "REVERTED",
      code: "update-interrupted",
      reason: `the agent ended ${book.trials} times while it tried the model`,
    });
  }
  if (state.isLoaded) return act(state, { kind: "unload", thenHold: false, book });
  // The factory's package is the operator's own word. (U2)
  if (wanted.digest === factory.digest) return prove(state);
  return act(state, { kind: "fetch", wanted, book });
}

function prove(state: Updates): Step {
  const { wanted } = state.book;
  if (wanted === null) return only(rested(state));
  const book: Book = { ...state.book, trials: state.book.trials + 1 }; // U5
  const wasAtWork = wanted.digest === book.previous?.digest || wanted.digest === state.factory.digest;
  return act({ ...state, book }, { kind: "prove", wanted, wasAtWork, book });
}

function switchOrHold(state: Updates, wanted: Wanted): Step {
  // A package that waits loaded would cost memory for as long as nobody parks.
  if (!isMet(state)) return act(state, { kind: "unload", thenHold: true, book: giveBack(state.book) });
  const { digest, name, version } = wanted;
  return act(state, { kind: "switch", wanted, book: { ...state.book, trial: { digest, name, version } } });
}

function hold(state: Updates): Step {
  if (state.book.outcome !== null || state.book.wanted === null) return only(rested(state));
  return isMet(state) ? prove(state) : only({ ...state, stage: { kind: "holding" } });
}

function goBack(state: Updates, outcome: Outcome): Step {
  const book: Book = { ...state.book, trial: null, outcome };
  return act({ ...state, book, trouble: null }, { kind: "restore", book });
}

function end(state: Updates, outcome: Outcome): Step {
  const book: Book = { ...state.book, outcome };
  return act({ ...state, book, trouble: null }, { kind: "save", book });
}

const act = (state: Updates, action: Action): Step => ({
  state: {
    ...state,
    book: action.book,
    savedGeneration: action.book.generation,
    stage: { kind: "acting", action, before: state.book, isCalledOff: false },
  },
  next: action,
  callOff: false,
});

const only = (state: Updates): Step => ({ state, next: null, callOff: false });
const rested = (state: Updates): Updates => ({ ...state, stage: { kind: "rest" } });

const digestOf = (ref: PackageRef | null, factory: PackageRef): Digest => ref?.digest ?? factory.digest;
const refUnlessFactory = (ref: PackageRef, factory: PackageRef): PackageRef | null =>
  ref.digest === factory.digest ? null : ref;

const isMet = (state: Updates): boolean => unmet(state) === null;

/** What the switch waits for; null: nothing. */
export function unmet({ book, conditions }: Updates): "idle" | "parked" | "window" | "clock" | null {
  const { condition, windows } = book.wanted ?? { condition: "ANY", windows: [] };
  if (condition === "IDLE" && !conditions.idle) return "idle";
  if (condition === "PARKED" && !conditions.parked) return "parked";
  if (windows.length === 0) return null;
  if (conditions.time === null) return "clock";
  return isOpen(windows, conditions.time) ? null : "window";
}
