/**
 * What became of an effect, and what a run's record says after it.
 *
 * A failure that another attempt may cure is tried again with backoff, `attemptsMax` times a phase. An outage (what the effect
 * needs does not answer) costs no attempt: it is repeated until `outageMsMax`.
 */
import type { TrainingRun } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import type { TwiceLabelled } from "../dataset/usable-labels.ts";
import type { SplitAccuracy, TrainingResult } from "../job.ts";
import { type Changed, changed, entering, evidenceWith, type Patch } from "./change.ts";
import { type Effect, restart, whyVerdictEnded } from "./decide.ts";
import type { RunSettings } from "./settings.ts";
import type { World } from "./world.ts";

/** Usable labels of a slice, as freezing would take them now. */
export type LabelCount = {
  readonly usable: number;
  readonly train: number;
  readonly tune: number;
  readonly gate: number;
  readonly devices: number;
  /** Frames that several people labelled, and those on which they differ. */
  readonly twice: TwiceLabelled;
  /** By reason. */
  readonly leftOut: Readonly<Record<string, number>>;
};

export type JobReport =
  | { readonly kind: "running"; readonly progress: number | null; readonly line: string }
  | { readonly kind: "succeeded"; readonly result: TrainingResult }
  | { readonly kind: "malformed"; readonly reason: string }
  | { readonly kind: "failed"; readonly reason: string; readonly isRetryable: boolean }
  | { readonly kind: "cancelled" }
  | { readonly kind: "unknown" };

export type Outcome =
  | { readonly kind: "labels"; readonly count: LabelCount }
  | { readonly kind: "frozen"; readonly datasetVersion: string; readonly frames: number }
  | { readonly kind: "job-started"; readonly jobId: string; readonly backend: string }
  | { readonly kind: "job"; readonly report: JobReport }
  | { readonly kind: "job-stopped" }
  | { readonly kind: "packed"; readonly version: string; readonly digest: string }
  | { readonly kind: "pushed" }
  | { readonly kind: "withdrawn" }
  | { readonly kind: "validation-extended"; readonly frames: number }
  /** It cannot work with these inputs; the reason names what would do. */
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "failed"; readonly reason: string; readonly isRetryable: boolean }
  | { readonly kind: "outage"; readonly reason: string };

/** Progress below this is not worth a record. */
const PROGRESS_STEP = 0.05;

/** Null: the record stays as it is. */
export function applied(
  run: TrainingRun,
  effect: Effect,
  outcome: Outcome,
  world: World,
  now: Instant,
  settings: RunSettings,
): Changed | null {
  const to = (kind: Parameters<typeof changed>[1], patch: Patch) => changed(run, kind, patch, now);
  switch (outcome.kind) {
    case "labels":
      return counted(run, outcome.count, now);
    case "frozen": {
      const { datasetVersion, frames } = outcome;
      const closed = whyVerdictEnded(run, world, now);
      if (closed !== null) return to("CANCELLED", { phase: "CANCELLED", datasetVersion, message: closed }); // decide.ts R5
      const message = `dataset ${run.model}/${datasetVersion} has ${frames} frames; training starts`;
      return to("FROZEN", { ...entering("TRAINING", now), jobId: "", progress: 0, datasetVersion, message });
    }
    case "job-started": {
      const { jobId, backend } = outcome;
      const message = `job ${jobId} of ${backend} runs`;
      return to("JOB_STARTED", { jobId, backend, progress: 0, attemptAt: now, message });
    }
    case "job":
      return jobReported(run, outcome.report, now, settings);
    case "job-stopped":
      return stopped(run, effect, world, now, settings);
    case "packed": {
      const { version, digest } = outcome;
      const message = `${run.model}@${version} is packed: ${digest}`;
      return to("PACKED", { ...entering("PUSHING", now), candidateVersion: version, candidateDigest: digest, message });
    }
    case "pushed": {
      const message = `${run.model}@${run.candidateVersion} is challenger`;
      return to("PUSHED", { ...entering("GATE", now), message });
    }
    case "withdrawn": {
      const message = effect.kind === "withdraw" ? effect.message : "its candidate was withdrawn";
      return to("FAILED", { phase: "FAILED", message });
    }
    case "validation-extended":
      return to("SUCCEEDED", { phase: "SUCCEEDED", message: championText(run, outcome.frames) });
    case "refused":
      return to("REFUSED", { phase: "REFUSED", message: outcome.reason });
    case "failed": {
      if (isRepeated(effect)) return unreachable(run, effect, outcome.reason, now, settings);
      return failed(run, effect, outcome.reason, outcome.isRetryable ? settings.attemptsMax : 0, now, settings);
    }
    case "outage":
      return unreachable(run, effect, outcome.reason, now, settings);
  }
}

const championText = ({ model, candidateVersion, slice }: TrainingRun, frames: number): string => {
  const what = `${model}@${candidateVersion} is champion`;
  return frames === 0 ? what : `${what}; from now on candidates are judged on ${frames} frames of ${slice}, too`;
};

function counted(run: TrainingRun, count: LabelCount, now: Instant): Changed | null {
  const { usable, train, tune, gate, devices, leftOut, twice } = count;
  const judged = leftOut["judged-before"] ?? 0;
  const counts = { "labels.train": train, "labels.tune": tune, "labels.gate": gate, "labels.judged": judged };
  const both = { "labels.twice": twice.frames, "labels.differ": twice.differ };
  const metrics = { ...run.metrics, ...counts, ...(twice.frames > 0 && both) };
  const more = judged === 0 ? "" : ` (candidates are judged by ${judged} more already)`;
  const message = `${usable} of ${run.labelsWanted} labelled frames of ${run.slice}, from ${devices} devices${more}${differing(twice)}: tributary labels next`;
  const isSame =
    run.message === message &&
    run.metrics["labels.train"] === train &&
    run.metrics["labels.tune"] === tune &&
    run.metrics["labels.gate"] === gate;
  if (isSame) return null;
  const evidence = evidenceWith(run, { labels: { usable, train, tune, gate, devices, leftOut, twice } });
  return changed(run, "LABELS_COUNTED", { labelsHave: usable, metrics, evidence, message }, now);
}

const differing = ({ frames, differ }: TwiceLabelled): string =>
  frames === 0 ? "" : ` (of ${frames} that two people labelled they differ on ${differ})`;

function jobReported(run: TrainingRun, report: JobReport, now: Instant, settings: RunSettings): Changed | null {
  const poll: Effect = { kind: "poll-job" };
  switch (report.kind) {
    case "running": {
      const progress = Math.min(1, Math.max(run.progress, report.progress ?? 0));
      if (!(progress - run.progress >= PROGRESS_STEP)) return null;
      return changed(run, "JOB_PROGRESSED", { progress, message: report.line || run.message }, now);
    }
    case "succeeded": {
      const { result } = report;
      const metrics = { ...run.metrics, ...metricsOf(result) };
      const evidence = evidenceWith(run, { result });
      if (result.nothing !== undefined) {
        const message = `this training gives nothing: ${result.nothing}; ${run.model}@${run.parentVersion} stays champion`;
        return changed(run, "SUCCEEDED", { phase: "SUCCEEDED", progress: 1, metrics, evidence, message }, now);
      }
      const message = "training ended; its result is packed";
      return changed(
        run,
        "JOB_SUCCEEDED",
        { ...entering("PACKING", now), progress: 1, metrics, evidence, message },
        now,
      );
    }
    case "malformed":
      return failed(
        run,
        poll,
        `its result is malformed: ${report.reason}`,
        settings.malformedAttemptsMax,
        now,
        settings,
      );
    case "failed":
      return failed(run, poll, report.reason, report.isRetryable ? settings.attemptsMax : 0, now, settings);
    case "cancelled":
      return changed(
        run,
        "CANCELLED",
        { phase: "CANCELLED", message: `job ${run.jobId} was cancelled at ${run.backend}` },
        now,
      );
    case "unknown":
      return failed(run, poll, `${run.backend} does not know job ${run.jobId}`, settings.attemptsMax, now, settings);
  }
}

function stopped(run: TrainingRun, effect: Effect, world: World, now: Instant, settings: RunSettings): Changed | null {
  if (effect.kind !== "stop-job") return null;
  if (effect.because === "too-long") {
    const reason = `job ${run.jobId} ran for longer than ${Math.round(settings.jobMsMax / 60_000)} minutes and was cancelled`;
    return failed(run, effect, reason, settings.attemptsMax, now, settings);
  }
  const action = restart(run, world, now, settings);
  return action.kind === "change" ? changed(run, action.change, action.patch, now) : null;
}

/** Another attempt, or the end. */
function failed(
  run: TrainingRun,
  effect: Effect,
  reason: string,
  attemptsMax: number,
  now: Instant,
  settings: RunSettings,
): Changed {
  if (run.attempt < attemptsMax) {
    const { minMs, factor, maxMs } = settings.backoff;
    const attemptAt = now + Math.min(maxMs, minMs * factor ** (run.attempt - 1));
    const attempt = run.attempt + 1;
    const message = `${reason}; attempt ${attempt} of ${attemptsMax} starts at ${new Date(attemptAt).toISOString()}`;
    const job = run.phase === "TRAINING" ? { jobId: "", progress: 0 } : {};
    return changed(
      run,
      run.phase === "TRAINING" ? "JOB_RETRIED" : "RETRIED",
      { ...job, attempt, attemptAt, message },
      now,
    );
  }
  if (effect.kind === "extend-validation") {
    const message = `${championText(run, 0)}; its validation frames were not extended: ${reason}`;
    return changed(run, "SUCCEEDED", { phase: "SUCCEEDED", message }, now);
  }
  const message = `${run.phase} failed: ${reason}`;
  // The alias may be given although no answer came: decide.ts withdraws it before the run ends (R4).
  if (effect.kind === "push") return changed(run, "RETRIED", { attempt: settings.attemptsMax + 1, message }, now);
  return changed(run, "FAILED", { phase: "FAILED", message }, now);
}

/** Another attempt at the phase would leave a job running or an alias given, so these alone are repeated. */
const isRepeated = ({ kind }: Effect): boolean => kind === "poll-job" || kind === "stop-job" || kind === "withdraw";

function unreachable(
  run: TrainingRun,
  effect: Effect,
  reason: string,
  now: Instant,
  settings: RunSettings,
): Changed | null {
  // A job that is not heard of is given up by its own bound; labels and the alias are waited for.
  const isPatient = effect.kind === "poll-job" || effect.kind === "count-labels" || effect.kind === "withdraw";
  const msMax = settings.outageMsMax + (run.phase === "TRAINING" ? settings.jobMsMax : 0);
  if (!isPatient && now - run.attemptAt > msMax) {
    const left =
      effect.kind === "stop-job" ? `; job ${run.jobId} of ${run.backend} may still run: cancel it there` : "";
    return failed(run, effect, `${reason}${left}`, 0, now, settings);
  }
  const message = `${run.phase} waits: ${reason}`;
  return message === run.message ? null : changed(run, "WAITING", { message }, now);
}

/** By name, e.g. accuracy.slice.before. */
function metricsOf({ blend, loss, steps, cpuSeconds, wallSeconds, accuracies = [] }: TrainingResult) {
  const metrics: Record<string, number> = {};
  for (const [name, value] of Object.entries({ blend, loss, steps, cpuSeconds, wallSeconds })) {
    if (value !== undefined) metrics[name] = value;
  }
  for (const { slice, split, before, after } of accuracies) {
    if (split !== "TUNE") continue;
    const place = nameOf(slice);
    metrics[`accuracy.${place}.before`] = before;
    metrics[`accuracy.${place}.after`] = after;
  }
  return metrics;
}

const nameOf = (slice: SplitAccuracy["slice"]): string => (slice === "base" ? "base" : "slice");
