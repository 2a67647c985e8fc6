/** What a rollout does next, from its state, what is seen of its devices, and the time. Pure: whoever calls it appends the
 * event, reads it back, and asks again. (G5) It widens by one road: an analysis that ended Successful, then the next
 * setWeight. Silence, no data, too little data and errors are not health: they pause, or go back. Whoever reads why a rollout
 * goes back reads the metric, the harm and its band: the comparison's own words.
 *
 * D2. A harmful verdict goes back at once, in whatever phase of an analysis, also while paused.
 * D3. Devices that refuse the model, or that left it by themselves, are harm as well.
 * D4. A device that refuses to go back has ended that generation for itself: it is told again, by a newer one, ever less often
 *     and without an end. Only a person may leave it where it is, and then the event names it: `rolled-back` is said of a
 *     rollout whose model nobody runs any more, and of no other.
 * D6. An analysis that ends undecided goes back if harm is likely all the same: a person who is not there must not keep it on
 *     its canary. `onInconclusive` may say otherwise; what was done, and why, stands in the event. */
import { Failure, type Instant } from "@tributary/kernel";
import { reachedBy } from "./cohorts.ts";
import { ABANDONED_NAMED_MAX, type Evidence, type PauseReason, type RolloutChange, type Verdict } from "./events.ts";
import { isFinished, type Rollout, reachedDevices, stepOf } from "./rollout.ts";
import { isRollback } from "./spec.ts";

/** What is seen of the devices that a rollout has reached. */
export type Seen = {
  readonly reached: number;
  /** Of these, how many say that they infer with the model, by its digest, and pass its golden frames. */
  readonly updated: number;
  /** How many refused it or went back by themselves. */
  readonly refused: number;
  /** Devices of the whole rollout, and once it goes back those that were told to, that still infer with the model. */
  readonly onModel: number;
  /** Of these, how many refused to go back, or could not. */
  readonly refusedBack: number;
};

/** What the judge says now; `verdict` is null while it is undecided. */
export type Judged = {
  readonly verdict: Verdict | null;
  readonly evidence: Evidence;
  /** Undecided: why harm is likely all the same, in words; null: it is not. (D6) */
  readonly suspicion?: string | null;
  /** There is no data because devices are not heard: that is waited for until the progress deadline alone. */
  readonly isSilent?: boolean;
};

/** At the deadline of a step, so many of its devices, rounded down, must have been heard; the rest may be away. */
const HEARD_SHARE_MIN = 0.9;
/** D4 */
const TELL_AGAIN = { minMs: 5 * 60_000, maxMs: 3_600_000 };
/** Refusals that end a rollout: this share of those reached, and at least two. */
const REFUSED_SHARE_MAX = 0.2;
const WHY_MAX = 500;

/** The next change, or null while there is nothing to do but wait. */
export function decide(rollout: Rollout, seen: Seen, judged: Judged | null, now: Instant): RolloutChange | null {
  if (isFinished(rollout)) return null;
  if (rollout.aborted !== null) return ofWayBack(rollout.aborted, rollout.changedAt, seen, now);
  const harm = harmOf(rollout, seen, judged);
  if (harm !== null) return harm;
  if (rollout.phase === "Paused") {
    const until = rollout.pause?.untilMs ?? null;
    return until !== null && now >= until ? { kind: "resumed", evidence: { after: "its duration" } } : null;
  }
  const step = stepOf(rollout);
  if (step === undefined) return { kind: "completed", evidence: { ...seen } };
  if (rollout.stepStartedAt === null) return { kind: "step-started", step: rollout.step };
  const elapsed = now - rollout.stepStartedAt;
  if ("setWeight" in step) return ofWeight(rollout, seen, elapsed);
  if ("pause" in step) {
    const untilMs = step.pause.duration === undefined ? null : rollout.stepStartedAt + step.pause.duration;
    return { kind: "paused", reason: "step", untilMs, evidence: {} };
  }
  return ofAnalysis(rollout, judged, elapsed, step.analysis.duration);
}

/** D4. */
function ofWayBack(
  { why, told }: NonNullable<Rollout["aborted"]>,
  toldAt: Instant,
  seen: Seen,
  now: Instant,
): RolloutChange | null {
  if (seen.onModel === 0) return { kind: "rolled-back", evidence: { ...seen } };
  const againMs = Math.min(TELL_AGAIN.maxMs, TELL_AGAIN.minMs * 2 ** (told - 1));
  if (seen.refusedBack === 0 || now - toldAt < againMs) return null;
  return { kind: "aborted", why, evidence: { ...seen, after: "devices that refused to go back are told again" } };
}

const whyOf = ({ why }: Evidence, otherwise: string): string =>
  typeof why === "string" && why !== "" ? why.slice(0, WHY_MAX) : otherwise;

/** D2, D3. */
function harmOf(rollout: Rollout, seen: Seen, judged: Judged | null): RolloutChange | null {
  if (judged?.verdict === "Failed" && rollout.weight > 0) {
    return rollout.analysis === "Failed"
      ? { kind: "aborted", why: whyOf(judged.evidence, "the analysis failed"), evidence: judged.evidence }
      : { kind: "analysed", step: rollout.step, verdict: "Failed", evidence: judged.evidence };
  }
  if (rollout.analysis === "Failed") {
    return { kind: "aborted", why: whyOf(rollout.evidence, "the analysis failed"), evidence: rollout.evidence };
  }
  const { reached, refused } = seen;
  if (reached === 0 || refused < 2 || refused < REFUSED_SHARE_MAX * reached) return null;
  return {
    kind: "aborted",
    why: `${refused} of ${reached} devices refused the model or left it`,
    evidence: { ...seen },
  };
}

function ofWeight(rollout: Rollout, seen: Seen, elapsed: number): RolloutChange | null {
  const { reached, updated } = seen;
  const deadline = rollout.spec.spec.progressDeadline + pacingMs(rollout);
  if (updated >= reached) return { kind: "step-finished", step: rollout.step, evidence: { ...seen } };
  if (elapsed < deadline) return null;
  if (updated >= Math.floor(HEARD_SHARE_MIN * reached))
    return { kind: "step-finished", step: rollout.step, evidence: { ...seen } };
  return { kind: "paused", reason: "silent", untilMs: null, evidence: { ...seen } };
}

/** Devices that the weights of earlier steps reach. */
export function reachedBefore({ spec, step, cohorts }: Rollout): number {
  const weights = spec.spec.strategy.canary.steps
    .slice(0, step)
    .flatMap((one) => ("setWeight" in one ? one.setWeight : []));
  return weights.length === 0 ? 0 : reachedBy(cohorts, Math.max(...weights)).length;
}

/** How long the step at work takes to tell its devices: its deadline begins only then. */
const pacingMs = (rollout: Rollout): number =>
  ((reachedDevices(rollout).length - reachedBefore(rollout)) / rollout.spec.spec.pacing.devicesPerMinute) * 60_000;

function ofAnalysis(rollout: Rollout, judged: Judged | null, elapsed: number, duration: number): RolloutChange | null {
  if (rollout.analysis === "Successful") {
    return { kind: "step-finished", step: rollout.step, evidence: rollout.evidence };
  }
  if (rollout.analysis !== "Running") return endOf(rollout, rollout.analysis as Verdict, rollout.evidence);
  const said = (verdict: Verdict): RolloutChange => {
    const suspicion = verdict === "Inconclusive" ? (judged?.suspicion ?? null) : null;
    return {
      kind: "analysed",
      step: rollout.step,
      verdict,
      evidence: judged?.evidence ?? {},
      ...(suspicion !== null && { suspicion }),
    };
  };
  if (judged?.verdict === "Successful") return said("Successful");
  const isSilent = judged?.isSilent === true && judged.verdict === "NoData";
  if (elapsed < (isSilent ? Math.min(duration, rollout.spec.spec.progressDeadline) : duration)) return null;
  return said(judged === null ? "NoData" : (judged.verdict ?? "Inconclusive"));
}

/** What an analysis that decided nothing leads to. */
function endOf(rollout: Rollout, verdict: Verdict, evidence: Evidence): RolloutChange {
  const { onInconclusive, onNoData } = rollout.spec.spec.abortConfig;
  const found = whyOf(evidence, "no reason is known");
  const back = (why: string): RolloutChange => ({ kind: "aborted", why: why.slice(0, WHY_MAX), evidence });
  const hold = (reason: PauseReason): RolloutChange => ({ kind: "paused", reason, untilMs: null, evidence });
  if (verdict === "NoData")
    return isRollback(onNoData) ? back(`the analysis ended ${verdict}: ${found}`) : hold("no-data");
  if (verdict !== "Inconclusive") return hold("error");
  const { suspicion } = rollout; // D6
  if (onInconclusive === undefined)
    return suspicion === null
      ? hold("inconclusive")
      : back(`the analysis ended undecided, and harm is likely: ${suspicion}; ${found}`);
  if (isRollback(onInconclusive)) return back(`the analysis ended undecided (onInconclusive: rollback): ${found}`);
  if (suspicion === null) return hold("inconclusive");
  const why = `harm is likely: ${suspicion}; held all the same (onInconclusive: hold); ${found}`.slice(0, WHY_MAX);
  return { kind: "paused", reason: "inconclusive", untilMs: null, evidence: { ...evidence, why } };
}

export type Command = "pause" | "resume" | "promote" | "promote-full" | "abort" | "retry" | "undo";

/** What a person wants. A command that does not fit the phase is refused, and told which one would. */
/** `left`: devices that run the model, or are on their way to it, now. */
export function command(rollout: Rollout, wanted: Command, by: string, left: readonly string[] = []): RolloutChange {
  const evidence = { after: `${wanted} by ${by}` };
  const refuse = (advice: string): never => {
    const back = rollout.aborted === null ? "" : isFinished(rollout) ? " and went back" : " and goes back";
    const state = `rollout ${rollout.spec.metadata.name} is ${rollout.phase}${back}`;
    throw new Failure("rollout-command-refused", "ask-a-person", `${wanted}: ${state}; ${advice}`);
  };
  const isAtWork = rollout.aborted === null && rollout.phase !== "Healthy";
  switch (wanted) {
    case "pause":
      // A pause that would end by itself can be held.
      if (!isAtWork || (rollout.phase === "Paused" && rollout.pause?.untilMs == null))
        return refuse("only one that progresses can be paused");
      return { kind: "paused", reason: "person", untilMs: null, evidence };
    case "resume":
      if (rollout.phase !== "Paused") return refuse("only a paused one can be resumed");
      return { kind: "resumed", evidence };
    case "promote":
    case "promote-full":
      if (!isAtWork) return refuse("retry begins it again");
      return { kind: "promoted", full: wanted === "promote-full", evidence };
    case "abort":
      if (rollout.aborted !== null && !isFinished(rollout) && rollout.aborted.told > 1) {
        // D4
        if (left.length === 0) return { kind: "rolled-back", evidence };
        return { kind: "abandoned", devices: left.length, some: left.slice(0, ABANDONED_NAMED_MAX), evidence };
      }
      if (!isAtWork)
        return refuse(rollout.aborted === null ? "undo takes a finished one back" : "there is nothing left to stop");
      return { kind: "aborted", why: `aborted by ${by}`, evidence };
    case "retry":
      if (rollout.aborted === null || !isFinished(rollout))
        return refuse("only one that was rolled back whole, or was left by a person, can be retried");
      return { kind: "retried", evidence };
    case "undo":
      if (isAtWork) return refuse("abort stops one that is at work");
      if (rollout.phase !== "Healthy")
        return refuse("it is rolled back already; once that is complete, retry restarts it");
      return { kind: "aborted", why: `undone by ${by}`, evidence };
    default:
      return wanted satisfies never;
  }
}
