/** What a rollout does next, from its state, the observed state of its devices, and the time. The caller appends the event,
 * reads it back, and calls again.
 *
 * A rollout widens in one way: an analysis ends Successful, then the next setWeight starts (G5). Silence, no data, too little
 * data and errors are not health: they pause the rollout or roll it back. The reason of a rollback names the metric, the harm
 * and its band, in the words of the comparison.
 *
 * D2. A harmful verdict rolls back at once, in every phase of an analysis, also while paused.
 * D3. Devices that refuse the model, or that left it by themselves, are harm as well.
 * D4. A device that refuses a rollback has ended that generation for itself: it is sent a newer one, ever less often and
 *     without an end. Only a person may leave it on the model, and then the event names it: `rolled-back` means that no device
 *     runs the model any more.
 * D6. An analysis that ends undecided rolls back if harm is likely all the same: a person who is not there must not keep it
 *     on its canary. `onInconclusive` may set otherwise; the event has what was done, and why.
 * D7. A device that downloads, checks or shadows the model is not silent: a step waits for it longer, and not for good. What
 *     devices lead to that stay silent is `onNoData`'s, in each step. */
import { Failure, type Instant } from "@tributary/kernel";
import { reachedBy } from "./cohorts.ts";
import { ABANDONED_NAMED_MAX, type Evidence, type PauseReason, type RolloutChange, type Verdict } from "./events.ts";
import { isFinished, type Rollout, reachedDevices, stepOf } from "./rollout.ts";
import { isRollback } from "./spec.ts";

/** The observed state of the devices that a rollout has reached. */
export type Seen = {
  readonly reached: number;
  /** Of these, how many report that they infer with the model, by its digest, and that it passes its golden frames. */
  readonly updated: number;
  /** How many are getting on with its installation; one that waits for a condition or a window is not. */
  readonly installing: number;
  /** How many refused it or reverted it by themselves. */
  readonly refused: number;
  /** Devices of the whole rollout that infer with the model; during a rollback, of those that it was sent to. */
  readonly onModel: number;
  /** Of these, how many refused the rollback, or could not do it. */
  readonly refusedRollback: number;
};

/** The judge's present result; `verdict` is null while it is undecided. */
export type Judged = {
  readonly verdict: Verdict | null;
  readonly evidence: Evidence;
  /** Undecided: why harm is likely all the same, in words; null: it is not. */
  readonly suspicion?: string | null;
  /** There is no data because devices are not heard: that is waited for until the progress deadline alone. */
  readonly isSilent?: boolean;
};

/** At the deadline of a step, so many of its devices, rounded down, must have been heard; the rest may be away. */
const HEARD_SHARE_MIN = 0.9;
/** An installation may take as long again as silence, and at least so long: a device shadows for up to ten minutes. */
const INSTALL_MS_MIN = 15 * 60_000;
const RETRY_ROLLBACK = { minMs: 5 * 60_000, maxMs: 3_600_000 };
/** Refusals that end a rollout: this share of those reached, and at least two. */
const REFUSED_SHARE_MAX = 0.2;
const WHY_MAX = 500;

/** The next change, or null while there is nothing to do but wait. */
export function decide(rollout: Rollout, seen: Seen, judged: Judged | null, now: Instant): RolloutChange | null {
  if (isFinished(rollout)) return null;
  if (rollout.aborted !== null) return ofRollback(rollout.aborted, rollout.changedAt, seen, now);
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

function ofRollback(
  { why, attempts }: NonNullable<Rollout["aborted"]>,
  sentAt: Instant,
  seen: Seen,
  now: Instant,
): RolloutChange | null {
  if (seen.onModel === 0) return { kind: "rolled-back", evidence: { ...seen } };
  const retryMs = Math.min(RETRY_ROLLBACK.maxMs, RETRY_ROLLBACK.minMs * 2 ** (attempts - 1));
  if (seen.refusedRollback === 0 || now - sentAt < retryMs) return null;
  return {
    kind: "aborted",
    why,
    evidence: { ...seen, after: "devices that refused the rollback are sent a newer generation" },
  };
}

const whyOf = ({ why }: Evidence, otherwise: string): string =>
  typeof why === "string" && why !== "" ? why.slice(0, WHY_MAX) : otherwise;

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
  const { reached, updated, installing } = seen;
  const { progressDeadline, abortConfig } = rollout.spec.spec;
  if (updated >= reached) return { kind: "step-finished", step: rollout.step, evidence: { ...seen } };
  const overdueMs = elapsed - pacingMs(rollout) - progressDeadline;
  if (overdueMs < 0) return null;
  const enough = Math.floor(HEARD_SHARE_MIN * reached);
  if (updated >= enough) return { kind: "step-finished", step: rollout.step, evidence: { ...seen } };
  if (updated + installing >= enough && overdueMs < Math.max(progressDeadline, INSTALL_MS_MIN)) return null; // D7
  if (!isRollback(abortConfig.onNoData))
    return { kind: "paused", reason: "silent", untilMs: null, evidence: { ...seen } };
  const why = `only ${updated} of ${reached} devices run the model by the deadline (onNoData: rollback)`;
  return { kind: "aborted", why, evidence: { ...seen } };
}

/** Devices that the weights of earlier steps reach. */
export function reachedBefore({ spec, step, cohorts }: Rollout): number {
  const weights = spec.spec.strategy.canary.steps
    .slice(0, step)
    .flatMap((one) => ("setWeight" in one ? one.setWeight : []));
  return weights.length === 0 ? 0 : reachedBy(cohorts, Math.max(...weights)).length;
}

/** How long the current step takes to reach its devices: its deadline starts only then. */
const pacingMs = (rollout: Rollout): number =>
  ((reachedDevices(rollout).length - reachedBefore(rollout)) / rollout.spec.spec.pacing.devicesPerMinute) * 60_000;

function ofAnalysis(rollout: Rollout, judged: Judged | null, elapsed: number, duration: number): RolloutChange | null {
  if (rollout.analysis === "Successful") {
    return { kind: "step-finished", step: rollout.step, evidence: rollout.evidence };
  }
  if (rollout.analysis !== "Running") return endOf(rollout, rollout.analysis as Verdict, rollout.evidence);
  const analysed = (verdict: Verdict): RolloutChange => {
    const suspicion = verdict === "Inconclusive" ? (judged?.suspicion ?? null) : null;
    return {
      kind: "analysed",
      step: rollout.step,
      verdict,
      evidence: judged?.evidence ?? {},
      ...(suspicion !== null && { suspicion }),
    };
  };
  if (judged?.verdict === "Successful") return analysed("Successful");
  const isSilent = judged?.isSilent === true && judged.verdict === "NoData";
  if (elapsed < (isSilent ? Math.min(duration, rollout.spec.spec.progressDeadline) : duration)) return null;
  return analysed(judged === null ? "NoData" : (judged.verdict ?? "Inconclusive"));
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
  const { suspicion } = rollout;
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

/** The change that a person's command makes. A command that does not fit the phase is refused, with the one that would fit.
 * @param left - Devices that run the model, or are on their way to it, now. */
export function command(rollout: Rollout, wanted: Command, by: string, left: readonly string[] = []): RolloutChange {
  const evidence = { after: `${wanted} by ${by}` };
  const refuse = (advice: string): never => {
    const back = rollout.aborted === null ? "" : isFinished(rollout) ? " and rolled back" : " and rolls back";
    const state = `rollout ${rollout.spec.metadata.name} is ${rollout.phase}${back}`;
    throw new Failure("rollout-command-refused", "ask-a-person", `${wanted}: ${state}; ${advice}`);
  };
  const isActive = rollout.aborted === null && rollout.phase !== "Healthy";
  switch (wanted) {
    case "pause":
      // A pause that would end by itself can be held.
      if (!isActive || (rollout.phase === "Paused" && rollout.pause?.untilMs == null))
        return refuse("only one that progresses can be paused");
      return { kind: "paused", reason: "person", untilMs: null, evidence };
    case "resume":
      if (rollout.phase !== "Paused") return refuse("only a paused one can be resumed");
      return { kind: "resumed", evidence };
    case "promote":
    case "promote-full":
      if (!isActive) return refuse("retry restarts it");
      return { kind: "promoted", full: wanted === "promote-full", evidence };
    case "abort":
      if (rollout.aborted !== null && !isFinished(rollout) && rollout.aborted.attempts > 1) {
        if (left.length === 0) return { kind: "rolled-back", evidence };
        return { kind: "abandoned", devices: left.length, some: left.slice(0, ABANDONED_NAMED_MAX), evidence };
      }
      if (!isActive)
        return refuse(rollout.aborted === null ? "undo rolls a finished one back" : "there is nothing left to stop");
      return { kind: "aborted", why: `aborted by ${by}`, evidence };
    case "retry":
      if (rollout.aborted === null || !isFinished(rollout))
        return refuse("only one that was rolled back whole, or was left by a person, can be retried");
      return { kind: "retried", evidence };
    case "undo":
      if (isActive) return refuse("abort stops an active one");
      if (rollout.phase !== "Healthy")
        return refuse("it is rolled back already; once that is complete, retry restarts it");
      return { kind: "aborted", why: `undone by ${by}`, evidence };
    default:
      return wanted satisfies never;
  }
}
