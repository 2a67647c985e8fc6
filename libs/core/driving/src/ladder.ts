/**
 * The level that a device drives at: which model answers its frames, and whether anybody may still rely on that.
 *
 *   FULL   the full model answers; LITE, a small model with a measured worst case, stands by for a frame that is late
 *   LITE   the small model answers; the full one is asked now and then whether it could again
 *   STALE  neither has answered: the last label is repeated, marked
 *   SAFE   the deadlines are not kept: whoever drives is asked for a minimal-risk manoeuvre (Autoware: MRM)
 *
 * This is the Simplex architecture (Sha, IEEE Software 18, 2001): what is simple and bounded stands in for what is good. A decision is a
 * function of events and their monotonic times, so a drive can be replayed from its log (G10).
 *
 * V1. Down at once, up late: a level is left upwards at the earliest `dwellMs` after it was entered, and FULL needs `recoverMs` without any
 *     reason against it and `probes` answers in time, one after another.
 * V2. A miss that leaves the (m,k)-firm promise one miss away from breaking steps down a rung; one that breaks it is SAFE. A frame is
 *     missed at `staleAt` of its deadline, so SAFE is signalled before the deadline passes.
 * V3. A full model that ended, hangs, became too slow, or whose hardware is hot is not waited for: LITE, if there is one.
 * V4. A camera that is silent, whose pictures cannot be of now (plausibility.ts), or whose JPEGs are refused, is missed frames as well; no smaller
 *     model helps, so LITE is left out on the way down. Where the agent itself is late, LITE is: it takes less of the processor.
 * V5. A sensor that cannot be read changes nothing.
 */
import { type FirmTask, isBroken, isOneMissAway, type Misses, noMisses, withFrame } from "./firm.ts";
import { type Heat, type HeatSettings, heatNext, isCooling, isHotNow, noHeat, type Reading } from "./heat.ts";
import {
  isSlow,
  type LatencyShift,
  noShift,
  type ShiftSettings,
  shiftDefaults,
  shiftForgotten,
  shiftNext,
} from "./latency-shift.ts";
import type { Implausible } from "./plausibility.ts";

export const levels = ["FULL", "LITE", "STALE", "SAFE"] as const;
export type Level = (typeof levels)[number];
export type ModelRole = "FULL" | "LITE";

/** Why a level was entered. */
export type LevelReason =
  | "started"
  | "full-ended"
  | "full-hangs"
  | "full-slow"
  | "hot"
  | "frame-late"
  | "agent-late"
  | "picture-unreadable"
  | "frame-refused"
  | "camera-silent"
  | `camera-${Implausible}`
  | "label-old"
  | "no-model"
  | "recovered";

/**
 * What kept a frame from being answered about the present. `agent-late`: the agent itself did not run in time. `frame-refused`: the camera's bytes were no whole
 * JPEG, or too many. `label-old`: nothing that could be repeated either.
 */
export type MissCause = Extract<
  LevelReason,
  "frame-late" | "agent-late" | "picture-unreadable" | "frame-refused" | `camera-${string}` | "label-old" | "no-model"
>;

export type LadderSettings = {
  readonly firm: FirmTask;
  /** Of the deadline: then LITE is asked too, and then the last label is repeated. */
  readonly hedgeAt: number;
  readonly staleAt: number;
  /** The shortest deadline of a camera, in ms. */
  readonly deadlineMs: number;
  /** A model that has not answered for so long hangs. Until then it is just not asked: frames are LITE's, the level stays. */
  readonly hangsMs: number;
  readonly dwellMs: number;
  readonly recoverMs: number;
  /** Below FULL, how often the full model is asked beside. */
  readonly probeEveryMs: number;
  readonly probes: number;
  readonly heat: HeatSettings;
  readonly shift: ShiftSettings;
  /** Below FULL for this long, the hardware counts as degraded. */
  readonly degradedMs: number;
};

export const ladderDefaults: Omit<LadderSettings, "deadlineMs"> = {
  firm: { met: 19, of: 20 },
  hedgeAt: 0.5,
  staleAt: 0.8,
  hangsMs: 250,
  dwellMs: 30_000,
  recoverMs: 60_000,
  probeEveryMs: 1_000,
  probes: 20,
  heat: { hotFrom: 75, coolBelow: 68, coolMs: 60_000 },
  shift: shiftDefaults,
  degradedMs: 10_000,
};

/** `at`: monotonic, in ms. */
export type LadderEvent = { readonly at: number } & (
  | { readonly kind: "model"; readonly role: ModelRole; readonly isUp: boolean }
  /** Another full model answers from now on: what was usual is unknown. */
  | { readonly kind: "replaced" }
  /** It has not answered a request for `hangsMs`, or has now. */
  | { readonly kind: "hangs"; readonly role: ModelRole; readonly isHanging: boolean }
  /** An answer of the full model, in time or not, and what it took; to a frame, or as a probe. */
  | { readonly kind: "answered"; readonly tookMs: number }
  | { readonly kind: "met"; readonly cameraId: string }
  | { readonly kind: "missed"; readonly cameraId: string; readonly cause: MissCause }
  | { readonly kind: "reading"; readonly reading: Reading }
  | { readonly kind: "tick" }
);

export type Ladder = {
  readonly level: Level;
  readonly reason: LevelReason;
  readonly since: number;
  /** Null: at FULL. */
  readonly belowFullSince: number | null;
  readonly misses: ReadonlyMap<string, Misses>;
  readonly isUp: Readonly<Record<ModelRole, boolean>>;
  readonly isHanging: Readonly<Record<ModelRole, boolean>>;
  readonly heat: Heat;
  readonly shift: LatencyShift;
  /** When there was a reason against the full model last; null: none since FULL was entered. */
  readonly fullTroubledAt: number | null;
  /** Answers of the full model in time, one after another, below FULL. */
  readonly probes: number;
};

export const ladderStart = (at: number, isUp: Ladder["isUp"]): Ladder => ({
  level: "FULL",
  reason: "started",
  since: at,
  belowFullSince: null,
  misses: new Map(),
  isUp,
  isHanging: { FULL: false, LITE: false },
  heat: noHeat,
  shift: noShift,
  fullTroubledAt: null,
  probes: 0,
});

export function ladderNext(ladder: Ladder, event: LadderEvent, settings: LadderSettings): Ladder {
  const { at } = event;
  const observed = observe(ladder, event, settings);
  const trouble = troubleOf(observed, settings);
  const isLate = event.kind === "missed" && event.cause === "frame-late";
  const isTroubled = trouble !== null && !(trouble === "hot" && isCooling(observed.heat)); // Else V1 would wait twice.
  const next = isTroubled || isLate ? { ...observed, fullTroubledAt: at, probes: 0 } : observed;
  const lower = below(next, event, trouble, settings);
  if (lower !== null) return entered(next, lower.level, lower.reason, at);
  const upper = above(next, at, trouble, settings);
  return upper === null ? next : entered(next, upper, "recovered", at);
}

function observe(ladder: Ladder, event: LadderEvent, settings: LadderSettings): Ladder {
  switch (event.kind) {
    case "model":
      return { ...ladder, isUp: { ...ladder.isUp, [event.role]: event.isUp } };
    case "replaced":
      return { ...ladder, shift: noShift };
    case "hangs":
      return { ...ladder, isHanging: { ...ladder.isHanging, [event.role]: event.isHanging } };
    case "answered": {
      const shift = shiftNext(ladder.shift, event.tookMs, settings.shift);
      const isInTime = event.tookMs <= settings.hedgeAt * settings.deadlineMs;
      return { ...ladder, shift, probes: ladder.level !== "FULL" && isInTime ? ladder.probes + 1 : 0 };
    }
    case "met":
    case "missed": {
      const { misses } = ladder;
      const before = missesOf(ladder, event.cameraId);
      const own = withFrame(before, event.kind === "missed", settings.firm);
      return own === before ? ladder : { ...ladder, misses: new Map(misses).set(event.cameraId, own) };
    }
    case "reading":
      return { ...ladder, heat: heatNext(ladder.heat, event.reading, event.at, settings.heat) };
    case "tick":
      return ladder;
    default:
      return event satisfies never;
  }
}

const missesOf = ({ misses }: Ladder, cameraId: string): Misses => misses.get(cameraId) ?? noMisses;

/** What speaks against the full model at this moment. */
function troubleOf({ isUp, isHanging, heat, shift }: Ladder, settings: LadderSettings): LevelReason | null {
  if (!isUp.FULL) return "full-ended";
  if (isHanging.FULL) return "full-hangs";
  if (heat.isHot) return "hot";
  return isSlow(shift, settings.hedgeAt * settings.deadlineMs, settings.shift) ? "full-slow" : null;
}

type Step = { readonly level: Level; readonly reason: LevelReason };

function below(ladder: Ladder, event: LadderEvent, trouble: LevelReason | null, settings: LadderSettings): Step | null {
  const missed = event.kind === "missed" ? afterMiss(ladder, event.cameraId, event.cause, settings) : null;
  if (missed !== null && isBelow(missed.level, ladder.level)) return missed;
  if (!hasAnswerer(ladder)) return isBelow("STALE", ladder.level) ? { level: "STALE", reason: "no-model" } : null;
  // Without a LITE, a slow answer is better than none (V3).
  const mayStepDown = ladder.level === "FULL" && trouble !== null && answers(ladder, "LITE");
  return mayStepDown ? { level: "LITE", reason: trouble } : null;
}

/** V2, V4. */
function afterMiss(ladder: Ladder, cameraId: string, reason: MissCause, { firm }: LadderSettings): Step | null {
  const misses = missesOf(ladder, cameraId);
  if (reason === "label-old" || isBroken(misses, firm)) return { level: "SAFE", reason };
  if (!isOneMissAway(misses, firm)) return null;
  const isLate = reason === "frame-late" || reason === "agent-late";
  const isForLite = isLate && ladder.level === "FULL" && answers(ladder, "LITE");
  return { level: isForLite ? "LITE" : "STALE", reason };
}

const answers = ({ isUp, isHanging }: Ladder, role: ModelRole): boolean => isUp[role] && !isHanging[role];

/** Else nobody is asked, and nothing is waited for. */
export const hasAnswerer = (ladder: Ladder): boolean => answers(ladder, "LITE") || answers(ladder, "FULL");

/** V1. The level that may be returned to; null: none yet. */
function above(ladder: Ladder, at: number, trouble: LevelReason | null, settings: LadderSettings): Level | null {
  const { level, since, fullTroubledAt, probes, misses } = ladder;
  if (level === "FULL" || at - since < settings.dwellMs || !hasAnswerer(ladder)) return null;
  if ([...misses.values()].some((bits) => bits !== noMisses)) return null;
  const isFullWell =
    fullTroubledAt === null || (at - fullTroubledAt >= settings.recoverMs && probes >= settings.probes);
  if (trouble === null && isFullWell) return "FULL";
  return level === "LITE" ? null : "LITE";
}

const isBelow = (level: Level, other: Level): boolean => levels.indexOf(level) > levels.indexOf(other);

function entered(ladder: Ladder, level: Level, reason: LevelReason, at: number): Ladder {
  const isFull = level === "FULL";
  return {
    ...ladder,
    level,
    reason,
    since: at,
    belowFullSince: isFull ? null : (ladder.belowFullSince ?? at),
    probes: 0,
    fullTroubledAt: isFull ? null : ladder.fullTroubledAt,
    shift: isFull ? shiftForgotten(ladder.shift) : ladder.shift,
  };
}

/** `first` are asked with the frame, `hedge` at `hedgeAt` if none has answered. */
export type Plan = { readonly first: readonly ModelRole[]; readonly hedge: ModelRole | null };

/** Who answers the next frame. `isFree`: it has no request to answer; one that has would let the frame wait. */
export function planOf(ladder: Ladder, isFree: Readonly<Record<ModelRole, boolean>>): Plan {
  const { level, heat } = ladder;
  const [full, lite] = (["FULL", "LITE"] as const).map((role) => answers(ladder, role) && isFree[role]);
  if (lite !== true) return { first: full === true ? ["FULL"] : [], hedge: null };
  if (full !== true) return { first: ["LITE"], hedge: null };
  if (level === "FULL") return { first: ["FULL"], hedge: "LITE" };
  if (heat.isHot) return { first: ["LITE"], hedge: null };
  return level === "LITE" ? { first: ["LITE"], hedge: "FULL" } : { first: ["LITE", "FULL"], hedge: null };
}

/**
 * The model that does not answer at this level, and is to be asked beside now: the full one to know whether it could again (V1), LITE
 * so that its process is known to answer, and its memory is in use. `askedAt`: when each was asked last. Null: neither.
 */
export function probeOf(
  ladder: Ladder,
  askedAt: Readonly<Record<ModelRole, number>>,
  at: number,
  settings: LadderSettings,
): ModelRole | null {
  const role = ladder.level === "FULL" ? "LITE" : "FULL";
  if (!answers(ladder, role) || (role === "FULL" && isHotNow(ladder.heat))) return null;
  return at - askedAt[role] >= settings.probeEveryMs ? role : null;
}

/** The hardware cannot be relied on for now: the cloud is to answer some frames as well. */
export const isDegraded = ({ level, belowFullSince }: Ladder, at: number, { degradedMs }: LadderSettings): boolean =>
  level === "STALE" || level === "SAFE" || (belowFullSince !== null && at - belowFullSince >= degradedMs);
