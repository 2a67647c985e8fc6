/** Experiments as the public API shows them: the contract's records in the words of specifications, times as RFC 3339. */
import type { ExperimentDetail, ExperimentEventView, ExperimentFilter, ExperimentView } from "@tributary/api";
import type { Experiment, ExperimentPhase, ExperimentVerdict, TrainingRun } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import { type ExperimentEvent, readExperiment, writtenExperiment } from "@tributary/rollouts/experiment";
import { isoOf } from "../answers/answer.ts";
import { type Naming, objectOf } from "../rollouts/rollout.ts";

const phases = {
  UNKNOWN: "Unknown",
  RUNNING: "Running",
  DECIDED: "Decided",
  STOPPED: "Stopped",
} as const satisfies Record<ExperimentPhase, ExperimentView["phase"]>;
const verdicts = {
  UNKNOWN: "unknown",
  ADOPT: "adopt",
  REJECT: "reject",
  EQUIVALENT: "equivalent",
  HOLD: "hold",
} as const satisfies Record<ExperimentVerdict, ExperimentView["verdict"]>;

export const matchesExperiment = (record: Experiment, { name, phase }: ExperimentFilter): boolean =>
  (name === undefined || record.name === name) && (phase === undefined || phases[record.phase] === phase);

/** What a view needs beside the record. */
export type Shown = {
  readonly naming: Naming;
  /** The newest training of a model that ended with a new champion after a moment. */
  readonly trainedSince: (model: string, since: Instant) => TrainingRun | undefined;
  readonly now: Instant;
};

export function viewOf(record: Experiment, shown: Shown): ExperimentView {
  const { uid, name, winner, message, cloudTarget, devices, rollout } = record;
  const model = shown.naming(record.modelDigest);
  return {
    uid,
    name,
    version: Number(record.version),
    phase: phases[record.phase],
    verdict: record.verdict && verdicts[record.verdict],
    winner,
    message,
    model: { digest: record.modelDigest, name: model?.name ?? null, version: model?.version ?? null },
    cloudTarget,
    devices,
    generation: `${record.generation}`,
    reviewAt: isoOf(record.reviewAt),
    rollout,
    review: reviewOf(record, model?.name ?? null, shown),
    createdAt: isoOf(record.createdAt) ?? "",
    changedAt: isoOf(record.changedAt) ?? "",
  };
}

export function detailOf(record: Experiment, shown: Shown): ExperimentDetail {
  const written = objectOf(record.spec);
  const { spec } = readExperiment(written);
  return {
    ...viewOf(record, shown),
    spec: spec === null ? written : writtenExperiment(spec),
    evidence: objectOf(record.evidence),
  };
}

/** A decision holds for the model that it was made with, and for what calls and late answers cost then. */
function reviewOf(
  { phase, reviewAt, changedAt }: Experiment,
  model: string | null,
  { trainedSince, now }: Shown,
): ExperimentView["review"] {
  if (phase !== "DECIDED") return null;
  const training = model === null ? undefined : trainedSince(model, changedAt);
  if (training !== undefined) {
    const { runId, candidateVersion, endedAt } = training;
    const why = `due since ${model} ${candidateVersion} was trained: training ${runId} ended ${isoOf(endedAt) ?? ""}`;
    return { isDue: true, why: why.trimEnd() };
  }
  const occasion = `when a training ends with a new version of ${model ?? "its model"}`;
  if (reviewAt === null) return { isDue: false, why: `due ${occasion}` };
  const at = isoOf(reviewAt) ?? "";
  return reviewAt <= now ? { isDue: true, why: `due since ${at}` } : { isDue: false, why: `due ${at}, or ${occasion}` };
}

/** Its devices may be many: their number is shown by arm. */
export function eventView({ version, at, by, change }: ExperimentEvent): ExperimentEventView {
  const common = { version, at: isoOf(at) ?? "", by };
  if (change.kind !== "experiment-created") return { ...common, ...change };
  const { order, strata: _strata, spec, ...rest } = change;
  return { ...common, ...rest, devices: order.length, spec: writtenExperiment(spec) };
}
