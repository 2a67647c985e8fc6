/**
 * What a run does next. Pure: the same record, world and time give the same action, so whoever takes over continues.
 *
 *   QUEUED -> LABELLING -> FREEZING -> TRAINING -> PACKING -> PUSHING -> GATE -> ROLLOUT -> SUCCEEDED
 *                             ^----------'   `---> SUCCEEDED          HELD: a person decides
 *                                              it gives nothing
 *
 * An action either is a transition that needs nothing else ("change"), or names an effect that its owner performs, whose outcome
 * outcomes.ts applies. Effects are idempotent by the run's id and attempt.
 *
 * R1. Of a model at most one run is past LABELLING; others wait, and their message names what for.
 * R2. A job is known before it is given up: of an attempt whose start is not recorded, the start is repeated, which returns the
 *     same job. So no job is left running.
 * R3. Nothing here moves a model to a device. A candidate gets the alias `challenger`; gate and rollout decide, and the run follows
 *     what they wrote.
 * R4. A candidate that does not become champion loses the alias before its run ends: no later champion revives it.
 * R5. No job starts for a verdict that closed meanwhile; one that is open and proves no loss keeps its training waiting.
 */
import type { DriftVerdict, Model, Rollout, TrainingChange, TrainingRun } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import { binomialCdf } from "@tributary/statistics";
import { bestSplits, leastSplits, neededSplits, splitSum, splitWords } from "../label-splits.ts";
import { entering, type Patch } from "./change.ts";
import { forecastWords, pastTrainings } from "./forecast.ts";
import { isEnded } from "./phases.ts";
import type { RunSettings } from "./settings.ts";
import { championOf, isRolloutOver, rolloutOf, type World, workingRunOf } from "./world.ts";

export type StopCause = "too-long" | "champion-changed";

export type Action =
  | { readonly kind: "change"; readonly change: TrainingChange; readonly patch: Patch }
  | { readonly kind: "count-labels" }
  | { readonly kind: "freeze" }
  | { readonly kind: "start-job" }
  | { readonly kind: "poll-job" }
  | { readonly kind: "stop-job"; readonly because: StopCause }
  | { readonly kind: "pack" }
  /** Lists the package, and gives it the alias. */
  | { readonly kind: "push" }
  /** Removes the alias, then the run fails. */
  | { readonly kind: "withdraw"; readonly message: string }
  | { readonly kind: "extend-validation" };

export type Effect = Exclude<Action, { readonly kind: "change" }>;

const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;
/** Until an alias that was given is read back. */
const ALIAS_SETTLE_MS = 60_000;
const LINES_SHOWN_MAX = 3;
/** Share of frames labelled twice on which people may differ, and the level at which more is proven. */
const DIFFER_MAX = 0.2;
const DIFFER_ALPHA = 0.05;

/** Null: it waits for what its message names. */
export function decide(run: TrainingRun, world: World, now: Instant, settings: RunSettings): Action | null {
  if (isEnded(run) || now < run.attemptAt) return null;
  switch (run.phase) {
    case "QUEUED":
      return queued(run, world, now, settings);
    case "LABELLING":
      return labelling(run, world, now, settings);
    case "FREEZING":
      return freezing(run, world, now, settings);
    case "TRAINING":
      return training(run, world, now, settings);
    case "PACKING":
      return { kind: "pack" };
    case "PUSHING":
      return pushing(run, world, settings);
    case "GATE":
    case "HELD":
    case "ROLLOUT":
      return judged(run, world, now, settings);
    default:
      return null;
  }
}

/** The message, where it is another one. */
const waiting = (run: TrainingRun, message: string): Action | null =>
  run.message === message ? null : { kind: "change", change: "WAITING", patch: { message } };

const end = (phase: "CANCELLED" | "REFUSED" | "FAILED", message: string): Action => ({
  kind: "change",
  change: phase,
  patch: { phase, message },
});

/** Why the verdict is no reason any more; null: it is one, or there is none. */
export function whyVerdictEnded({ trigger, verdictId }: TrainingRun, { verdicts }: World, now: Instant): string | null {
  if (trigger !== "VERDICT") return null;
  const verdict = verdicts.get(verdictId);
  if (verdict === undefined) return `verdict ${verdictId} is gone`;
  return verdict.state === "CLOSED"
    ? `verdict ${verdictId} closed: ${verdict.closedBecause}`
    : whyUnwanted(verdict, now);
}

/** By the answer of a person. A loss that is not proven any more is none: labels may still prove it. */
function whyUnwanted({ verdictId, review, retrain, loss }: DriftVerdict, now: Instant): string | null {
  if (review === null || retrain) return null;
  if (review.kind === "KNOWN" && review.until !== null && now < review.until) {
    return `${review.by} knows of verdict ${verdictId} until ${new Date(review.until).toISOString()}`;
  }
  const isCorrected = review.kind === "CORRECT" && loss.state === "LOST";
  return isCorrected ? `${review.by} corrected the cause of verdict ${verdictId} to ${review.cause}` : null;
}

const aheadText = ({ runId }: TrainingRun): string => `waits for training ${runId} of the same model`;

function queued(run: TrainingRun, world: World, now: Instant, settings: RunSettings): Action | null {
  const { model, slice, labelsWanted } = run;
  const closed = whyVerdictEnded(run, world, now);
  if (closed !== null) return end("CANCELLED", closed);
  const ahead = workingRunOf(world, model, run.runId);
  if (ahead !== undefined) return waiting(run, aheadText(ahead)); // R1
  if (championOf(world, model) === undefined) return waiting(run, championText(model));
  const spent = budgetText(run, world, now, settings);
  if (spent !== null) return waiting(run, spent);
  const { labels } = settings;
  const parts = bestSplits({ ...labels, wanted: labelsWanted });
  const fewer = `after ${Math.round(labels.waitMs / DAY_MS)} days ${splitSum(neededSplits(labels))} are enough`;
  const gain = forecastWords(parts.TRAIN, pastTrainings(world.runs.values(), model));
  const message = `waits for ${labelsWanted} labelled frames of ${slice} (${splitWords(parts)}; ${fewer}; ${gain}): tributary labels next`;
  return { kind: "change", change: "RELEASED", patch: { ...entering("LABELLING", now), message } };
}

const championText = (model: string): string =>
  `waits for a champion to start from: tributary models alias ${model}@VERSION champion`;

function budgetText(run: TrainingRun, { runs }: World, now: Instant, { runsPerWeekMax }: RunSettings): string | null {
  if (run.trigger === "PERSON") return null;
  const spent = [...runs.values()].filter(
    ({ model, trigger, phase, requestedAt }) =>
      model === run.model && trigger !== "PERSON" && phase !== "QUEUED" && requestedAt > now - WEEK_MS,
  );
  if (spent.length < runsPerWeekMax) return null;
  const freeAt = Math.min(...spent.map(({ requestedAt }) => requestedAt)) + WEEK_MS;
  const until = new Date(freeAt).toISOString();
  return `waits until ${until}: ${runsPerWeekMax} trainings of ${run.model} a week are allowed (budget); a person may start one`;
}

function labelling(run: TrainingRun, world: World, now: Instant, { labels }: RunSettings): Action | null {
  const closed = whyVerdictEnded(run, world, now);
  if (closed !== null) return end("CANCELLED", closed);
  const { "labels.train": train, "labels.tune": tune, "labels.gate": gate } = run.metrics;
  if (train === undefined || tune === undefined || gate === undefined) return { kind: "count-labels" };
  const isLate = now - run.attemptAt >= labels.waitMs;
  const wrong = whyLabelsAreWrong(run);
  if (wrong !== null) return end("REFUSED", wrong);
  const [least, needed] = [leastSplits(labels), neededSplits(labels)];
  const isParted = train >= least.TRAIN && tune >= least.TUNE && gate >= least.GATE;
  const isEnough = isParted && run.labelsHave >= splitSum(needed);
  if (isEnough && (isLate || run.labelsHave >= run.labelsWanted)) {
    const ahead = workingRunOf(world, run.model, run.runId);
    if (ahead !== undefined) return waiting(run, aheadText(ahead)); // R1
    const champion = championOf(world, run.model);
    if (champion === undefined) return waiting(run, championText(run.model));
    if (run.trigger === "VERDICT" && world.verdicts.get(run.verdictId)?.retrain === false) {
      return waiting(run, `waits for verdict ${run.verdictId}, which does not prove a loss now`); // R5
    }
    return {
      kind: "change",
      change: "LABELS_COMPLETE",
      patch: { ...fromChampion(champion, now), message: "the dataset is frozen" },
    };
  }
  if (!isLate) return { kind: "count-labels" };
  const short = (have: number, want: number) => Math.max(0, want - have);
  const missing = Math.max(
    short(run.labelsHave, splitSum(needed)),
    short(train, least.TRAIN) + short(tune, least.TUNE) + short(gate, least.GATE),
  );
  const { "labels.judged": judged = 0 } = run.metrics;
  const apart = judged === 0 ? "" : `, apart from ${judged} that candidates are judged by already`;
  const what = `${run.labelsHave} frames of ${run.slice} have usable labels${apart}: ${splitWords({ TRAIN: train, TUNE: tune, GATE: gate })}`;
  const need = `${splitSum(needed)} are needed (${splitWords(needed)}), from devices enough to part them`;
  return end(
    "REFUSED",
    `${what}; ${need}: label at least ${missing} more (tributary labels next), then start it again`,
  );
}

function freezing(run: TrainingRun, world: World, now: Instant, settings: RunSettings): Action {
  const closed = whyVerdictEnded(run, world, now);
  if (closed !== null) return end("CANCELLED", closed); // R5
  return isChampionOther(run, world) ? restart(run, world, now, settings) : { kind: "freeze" };
}

/** Null: that too many are wrong is not proven. Two people who each err on one frame in ten differ on about a fifth. */
function whyLabelsAreWrong({ metrics }: TrainingRun): string | null {
  const { "labels.twice": twice = 0, "labels.differ": differ = 0 } = metrics;
  if (differ === 0 || 1 - binomialCdf(differ - 1, twice, DIFFER_MAX) > DIFFER_ALPHA) return null;
  const what = `two people differ on ${differ} of ${twice} frames that both labelled`;
  return `${what}: about ${Math.round((100 * differ) / twice / 2)} % of labels are wrong; agree on what each class is, label anew, then start it again`;
}

const fromChampion = ({ version, modelDigest }: Model, now: Instant): Patch => ({
  ...entering("FREEZING", now),
  parentVersion: version,
  parentDigest: modelDigest,
});

const isChampionOther = ({ model, parentDigest }: TrainingRun, world: World): boolean => {
  const champion = championOf(world, model);
  return champion !== undefined && champion.modelDigest !== parentDigest;
};

/** From the champion of now; of a job only once it ended. */
export function restart(run: TrainingRun, world: World, now: Instant, { restartsMax }: RunSettings): Action {
  const champion = championOf(world, run.model);
  const what = `${run.model} ${champion?.version ?? ""} became champion instead of ${run.parentVersion}, which it started from`;
  if (champion === undefined || run.restarts >= restartsMax) {
    return end("FAILED", `${what}; it started over ${run.restarts} times already`);
  }
  const message = `${what}: it starts over`;
  const cleared = { jobId: "", backend: "", progress: 0, datasetVersion: "", restarts: run.restarts + 1, message };
  return { kind: "change", change: "RESTARTED", patch: { ...fromChampion(champion, now), ...cleared } };
}

function training(run: TrainingRun, world: World, now: Instant, settings: RunSettings): Action {
  if (run.jobId === "") return { kind: "start-job" }; // R2
  if (isChampionOther(run, world)) return { kind: "stop-job", because: "champion-changed" };
  if (now - run.attemptAt > settings.jobMsMax) return { kind: "stop-job", because: "too-long" };
  return { kind: "poll-job" };
}

function pushing(run: TrainingRun, world: World, { attemptsMax }: RunSettings): Action | null {
  if (run.attempt > attemptsMax) return { kind: "withdraw", message: run.message };
  const other = world.models.byAlias(run.model, "challenger");
  if (other === undefined || other.version === run.candidateVersion || !isPending(other, world))
    return { kind: "push" };
  return waiting(run, `waits for challenger ${other.name}@${other.version}, which is evaluated or rolled out`);
}

/** Whether a challenger may still become champion by itself, or a person has to decide about it. */
function isPending(challenger: Model, world: World): boolean {
  const { gate, state, modelDigest, name } = challenger;
  if (state !== "LISTED" || championOf(world, name)?.modelDigest === modelDigest) return false;
  const rollout = rolloutOf(world, modelDigest);
  if (rollout !== undefined) return !isRolloutOver(rollout);
  return gate === null || gate.passed || gate.forcedBy !== "";
}

/** GATE, HELD and ROLLOUT follow what registry and rollout-manager wrote (R3). */
function judged(run: TrainingRun, world: World, now: Instant, settings: RunSettings): Action | null {
  const { model, candidateVersion, candidateDigest } = run;
  const candidate = world.models.get(model, candidateVersion);
  if (championOf(world, model)?.version === candidateVersion) return { kind: "extend-validation" };
  if (candidate === undefined) return null; // Its record is not read yet.
  if (candidate.state === "REVOKED") {
    return {
      kind: "withdraw",
      message: `the candidate was revoked by ${candidate.revoked?.by}: ${candidate.revoked?.reason}`,
    };
  }
  const rollout = rolloutOf(world, candidateDigest);
  if (rollout !== undefined) return rolling(run, rollout);
  const challenger = world.models.byAlias(model, "challenger")?.version;
  if (challenger !== candidateVersion && now - run.attemptAt > ALIAS_SETTLE_MS) {
    const who = challenger === undefined ? "nobody" : `${model}@${challenger}`;
    return { kind: "withdraw", message: `the alias challenger was taken from the candidate: ${who} has it` };
  }
  return gated(run, candidate, world, now, settings);
}

function rolling(run: TrainingRun, rollout: Rollout): Action | null {
  const { uid, phase, step, steps, message: why } = rollout;
  if (phase === "DEGRADED" && isRolloutOver(rollout)) {
    return { kind: "withdraw", message: `rollout ${uid} was rolled back: ${why}` };
  }
  const place =
    phase === "HEALTHY" ? "has reached its devices" : `is ${phase}, step ${Math.min(step + 1, steps)} of ${steps}`;
  const alias = `tributary models alias ${run.model}@${run.candidateVersion} champion`;
  const message = `rollout ${uid} ${place}${phase === "HEALTHY" ? `; the candidate is not champion yet: ${alias}` : ""}`;
  if (run.phase === "ROLLOUT" && run.rolloutUid === uid) return waiting(run, message);
  return {
    kind: "change",
    change: "ROLLOUT_STARTED",
    patch: { phase: "ROLLOUT", attempt: 1, rolloutUid: uid, message },
  };
}

function gated(run: TrainingRun, candidate: Model, world: World, now: Instant, settings: RunSettings): Action | null {
  const { gate } = candidate;
  const reference = `${run.model}@${run.candidateVersion}`;
  const isForced = gate !== null && gate.forcedBy !== "";
  const isOfNow = gate !== null && (isForced || gate.championDigest === championOf(world, run.model)?.modelDigest);
  if (gate === null || !isOfNow) {
    return run.phase === "GATE" ? waiting(run, `the model registry evaluates ${reference} against the champion`) : null;
  }
  if (!gate.passed && !isForced) return { kind: "withdraw", message: `the gate stopped it: ${linesOf(gate.failed)}` };
  const resume = `let it pass: tributary train resume ${run.runId}, or stop it: tributary train cancel ${run.runId}`;
  const hold = (why: string): Action | null =>
    run.phase === "HELD"
      ? waiting(run, `${why}; ${resume}`)
      : { kind: "change", change: "HELD", patch: { phase: "HELD", message: `${why}; ${resume}` } };
  if (gate.unsure.length > 0 && !isForced) return hold(`the gate is unsure: ${linesOf(gate.unsure)}`);
  if (run.phase === "GATE") {
    const how = isForced ? `${gate.forcedBy} let it pass` : "it passed the gate";
    return {
      kind: "change",
      change: "GATE_PASSED",
      patch: { ...entering("ROLLOUT", now), message: `${how}; its rollout is to start` },
    };
  }
  if (now - run.attemptAt < settings.rolloutWaitMs) return null;
  return hold(
    `it passed the gate and no rollout has started: tributary rollout start, or the rollout-manager's defaults`,
  );
}

const linesOf = (lines: readonly string[]): string => {
  const more = lines.length > LINES_SHOWN_MAX ? ` and ${lines.length - LINES_SHOWN_MAX} more` : "";
  return `${lines.slice(0, LINES_SHOWN_MAX).join("; ")}${more}`;
};
