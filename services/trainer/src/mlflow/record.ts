/** What MLflow is shown of a training. Pure. */
import type { Dataset, TrainingRun } from "@tributary/contracts";
import { isEnded } from "@tributary/training";
import type { MlflowDataset, MlflowRecord } from "./mlflow-log.ts";

type Frozen = {
  readonly dataset: Dataset | undefined;
  readonly base: Dataset | undefined;
  readonly remote: string;
};

/** Phases in which the candidate's files are at the model registry, and a gate or rollout is about it. */
const REGISTERED: readonly TrainingRun["phase"][] = ["GATE", "ROLLOUT", "HELD", "SUCCEEDED"];

/** MLflow refuses a parameter that changes: what may, as the parent of a training that starts over, is a tag. */
export function mlflowRecordOf(
  run: TrainingRun,
  frozen: Frozen,
  files: () => Promise<ReadonlyMap<string, Uint8Array>>,
): MlflowRecord {
  const { runId, model, slice, trigger, requestedBy, requestedAt, candidateDigest, candidateVersion, phase } = run;
  const isRegistered = candidateDigest !== "" && REGISTERED.includes(phase);
  const ofVersion = { model, version: candidateVersion, digest: candidateDigest, parent: run.parentVersion };
  return {
    runId,
    name: `${model} on ${slice}`,
    model,
    startedAt: requestedAt,
    endedAt: run.endedAt,
    status: statusOf(run),
    params: { model, slice, trigger, requestedBy, since: new Date(run.since).toISOString() },
    metrics: { ...run.metrics, labelsHave: run.labelsHave, progress: run.progress },
    tags: tagsOf(run),
    datasets: datasetsOf(run, frozen),
    version: isRegistered ? { files, tags: tagged({ ...ofVersion, dataset: run.datasetVersion }) } : null,
  };
}

function statusOf(run: TrainingRun): MlflowRecord["status"] {
  if (!isEnded(run)) return "RUNNING";
  if (run.phase === "SUCCEEDED") return "FINISHED";
  return run.phase === "CANCELLED" ? "KILLED" : "FAILED";
}

const tagsOf = ({ phase, message, reason, ...run }: TrainingRun): Readonly<Record<string, string>> =>
  tagged({
    ...{ phase, message, reason, verdict: run.verdictId, backend: run.backend, job: run.jobId },
    ...{
      parent: run.parentVersion,
      dataset: run.datasetVersion,
      candidate: run.candidateVersion,
      rollout: run.rolloutUid,
    },
  });

const tagged = (values: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(values)
      .filter(([, value]) => value !== "")
      .map(([key, value]) => [`tributary.${key}`, value]),
  );

function datasetsOf({ model }: TrainingRun, { dataset, base, remote }: Frozen): readonly MlflowDataset[] {
  return [dataset, base].flatMap((one): MlflowDataset[] =>
    one === undefined ? [] : [{ name: `${model}/${one.version}`, md5: one.md5, source: remote, context: "training" }],
  );
}
