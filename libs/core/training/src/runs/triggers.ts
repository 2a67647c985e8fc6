/**
 * Which trainings are due. A cause is drift that loses frames of a model at a place, enough new labels of a model, a schedule, or a
 * person.
 *
 * T1. Of a cause at most one run is open, and none starts in the cool-down after its end: a verdict, however often it is written, is
 *     one run, and so is the next one about the same place, which is about the model that came out of that run. Only a run that was
 *     cancelled, as when its verdict closed, keeps no other verdict waiting.
 * T2. A verdict counts while it is open and a reason to retrain, which it is once it is no longer provisional, of the model that is
 *     champion: about another package a training could do nothing.
 * T3. What is on a schedule does not start while a run of the model is open, nor for a moment that is
 *     over for more than a day or before the end of one that succeeded: an old champion is no reason when a trainer is set up.
 * T4. A person may always ask, except while a run of the model is past LABELLING or one that a person asked for is open.
 */
import type { DriftVerdict, TrainingRun, TrainingTrigger } from "@tributary/contracts";
import { Failure, type Instant } from "@tributary/kernel";
import { type Changed, eventOf, SERVICE } from "./change.ts";
import { isEnded } from "./phases.ts";
import type { RunSettings } from "./settings.ts";
import { championOf, type World, workingRunOf } from "./world.ts";

export type Digester = (text: string) => string;

/** A slice is KEY=VALUE, or this. */
export const FLEET = "fleet";

export type PersonRequest = {
  readonly model: string;
  readonly by: string;
  readonly reason: string;
  readonly slice?: string | undefined;
  readonly since?: Instant | undefined;
};

const RUN_ID_LENGTH = 16;
const DEVICES_MAX = 1_000;
/** T3 */
const MISSED_MS_MAX = 86_400_000;

type Cause = {
  readonly trigger: TrainingTrigger;
  readonly causeKey: string;
  readonly model: string;
  readonly by: string;
  readonly reason: string;
  readonly slice: string;
  readonly since: Instant;
  readonly verdictId?: string;
  readonly devices?: readonly string[];
};

/** New runs, each QUEUED. */
export function triggersDue(world: World, now: Instant, settings: RunSettings, digest: Digester): readonly Changed[] {
  const causes = [...verdictsDue(world), ...modelsDue(world, now, settings)];
  const due = causes.filter((cause) => mayStart(world, cause, now, settings));
  const ofEach = new Map(due.map((cause) => [cause.causeKey, cause]));
  return [...ofEach.values()].map((cause) => runOf(cause, now, settings, digest));
}

/** Throws a Failure that names what is in the way (T4). */
export function requestedBy(
  request: PersonRequest,
  world: World,
  now: Instant,
  settings: RunSettings,
  digest: Digester,
): Changed {
  const { model, by, reason, slice = FLEET, since = now - settings.labels.lookbackMs } = request;
  if (!world.models.names().includes(model)) {
    throw new Failure("model-unknown", "give-up", `there is no model ${model}: tributary models list`);
  }
  const causeKey = `person:${model}`;
  const other = workingRunOf(world, model) ?? openOf(world, causeKey);
  if (other !== undefined) {
    const what = `training ${other.runId} of ${model} is ${other.phase}`;
    throw new Failure("training-open", "retry", `${what}: wait for its end, or: tributary train cancel ${other.runId}`);
  }
  return runOf({ trigger: "PERSON", causeKey, model, by, reason, slice, since }, now, settings, digest);
}

function verdictsDue(world: World): readonly Cause[] {
  return [...world.verdicts.values()].flatMap((verdict): Cause[] => {
    const { verdictId, modelName: model, modelDigest, summary, devices } = verdict;
    const isDue = verdict.state === "OPEN" && verdict.retrain && championOf(world, model)?.modelDigest === modelDigest; // T2
    if (!isDue) return [];
    const slice = sliceOf(verdict);
    return [
      {
        trigger: "VERDICT",
        causeKey: `verdict:${model}:${slice}`,
        model,
        by: SERVICE,
        reason: summary,
        slice,
        since: onsetOf(verdict),
        verdictId,
        devices: devices.map(({ deviceId }) => deviceId).slice(0, DEVICES_MAX),
      },
    ];
  });
}

/** Median of its devices: the verdict's own is the earliest, and of many estimates that is one of before the change, whose frames would
 * be learned as if they were drifted. */
const onsetOf = ({ since, devices }: DriftVerdict): Instant =>
  devices.map((device) => device.since).toSorted((a, b) => a - b)[Math.floor(devices.length / 2)] ?? since;

const sliceOf = ({ scopeKey, scopeValue }: DriftVerdict): string =>
  scopeKey === FLEET ? FLEET : `${scopeKey}=${scopeValue}`;

function modelsDue(world: World, now: Instant, settings: RunSettings): readonly Cause[] {
  const { newMin, lookbackMs } = settings.labels;
  const since = now - lookbackMs;
  return world.models.names().flatMap((model): Cause[] => {
    const champion = championOf(world, model);
    if (champion === undefined) return [];
    const causes: Cause[] = [];
    const labels = world.labelsSince(model, Math.max(since, lastDatasetAt(world, model)));
    if (labels >= newMin) {
      const reason = `${labels} labels came since the last dataset`;
      causes.push({ trigger: "LABELS", causeKey: `labels:${model}`, model, by: SERVICE, reason, slice: FLEET, since });
    }
    const dueAt = world.scheduledAfter(Math.max(now - MISSED_MS_MAX, champion.pushedAt, lastTrainingAt(world, model)));
    if (dueAt !== null && dueAt <= now && !isAnyOpen(world, model)) {
      const reason = `it was scheduled for ${new Date(dueAt).toISOString()}`;
      causes.push({
        trigger: "SCHEDULE",
        causeKey: `schedule:${model}`,
        model,
        by: SERVICE,
        reason,
        slice: FLEET,
        since,
      });
    }
    return causes;
  });
}

/** T1 */
function mayStart({ runs }: World, { causeKey, verdictId = "" }: Cause, now: Instant, settings: RunSettings): boolean {
  return [...runs.values()].every((run) => {
    if (run.causeKey !== causeKey) return true;
    if (run.endedAt === null) return false;
    if (run.phase === "CANCELLED" && run.verdictId !== verdictId) return true;
    const restMs = run.phase === "REFUSED" ? settings.refusedCooldownMs : settings.cooldownMs;
    return now >= run.endedAt + restMs;
  });
}

const ofModel = ({ runs }: World, model: string): readonly TrainingRun[] =>
  [...runs.values()].filter((run) => run.model === model);

const openOf = ({ runs }: World, causeKey: string): TrainingRun | undefined =>
  [...runs.values()].find((run) => run.causeKey === causeKey && !isEnded(run));

const isAnyOpen = (world: World, model: string): boolean => ofModel(world, model).some((run) => !isEnded(run));

/** Labels from before it were there to be used. */
const lastDatasetAt = (world: World, model: string): Instant =>
  Math.max(0, ...ofModel(world, model).flatMap((run) => (run.datasetVersion === "" ? [] : [run.requestedAt])));

/** T3. The last moment that a schedule need not catch up with. */
const lastTrainingAt = (world: World, model: string): Instant =>
  Math.max(
    0,
    ...ofModel(world, model).flatMap((run) => {
      if (run.trigger === "SCHEDULE") return [run.requestedAt];
      return run.endedAt !== null && run.phase === "SUCCEEDED" ? [run.endedAt] : [];
    }),
  );

function runOf(cause: Cause, now: Instant, settings: RunSettings, digest: Digester): Changed {
  const { trigger, causeKey, model, by, reason, slice, since, verdictId = "", devices = [] } = cause;
  const run: TrainingRun = {
    runId: digest(`${model}\n${causeKey}\n${now}`).slice(0, RUN_ID_LENGTH),
    version: 1n,
    model,
    trigger,
    causeKey,
    verdictId,
    requestedBy: by,
    reason,
    slice,
    devices,
    since,
    phase: "QUEUED",
    message: "it was asked for",
    labelsWanted: settings.labels.wanted,
    labelsHave: 0,
    backend: "",
    jobId: "",
    attempt: 1,
    attemptAt: now,
    restarts: 0,
    progress: 0,
    parentVersion: "",
    parentDigest: "",
    datasetVersion: "",
    candidateVersion: "",
    candidateDigest: "",
    rolloutUid: "",
    metrics: {},
    evidence: "{}",
    requestedAt: now,
    changedAt: now,
    endedAt: null,
  };
  return { run, event: eventOf(run, "REQUESTED", by, now, { trigger, causeKey, slice, reason }) };
}
