/** What waits for MLflow: nothing does. A real one is met in mlflow.ci.test.ts. */
import { expect, test } from "@jest/globals";
import { Failure, systemClock } from "@tributary/kernel";
import { silentTelemetry, waitFor } from "@tributary/testing";
import { someDataset, someRun } from "../trainer.test-kit.ts";
import type { MlflowRecord } from "./mlflow-log.ts";
import { MlflowRecorder } from "./recorder.ts";

const dataset = someDataset({ version: "d-1", baseVersion: "base" });
const base = someDataset({ version: "base", kind: "BASE", md5: "b".repeat(32) });

function opened(answer: (record: MlflowRecord) => void) {
  const shown: MlflowRecord[] = [];
  const record = async (one: MlflowRecord) => {
    shown.push(one);
    answer(one);
    return { mlflowRun: "m", modelVersion: null };
  };
  const recorder = new MlflowRecorder({
    log: { record },
    datasets: { get: (_, version) => [dataset, base].find((one) => one.version === version), remote: "s3://datasets" },
    registry: { blobs: {} as never },
    scratch: "",
    clock: systemClock,
    telemetry: silentTelemetry(),
    pauseMsMin: 2,
  });
  recorder.start();
  return { recorder, shown };
}

test("a training's newest state is shown, with its datasets, once MLflow is back", async () => {
  let isAway = true;
  const { recorder, shown } = opened(() => {
    if (isAway) throw new Failure("server-unreachable", "retry", "MLflow is away");
  });
  recorder.note(someRun({ phase: "LABELLING" }));
  await waitFor(() => shown.length > 2, { what: "attempts", everyMs: 2 });
  const ended = { phase: "SUCCEEDED", endedAt: 5, datasetVersion: "d-1", candidateDigest: "ab", version: 9n } as const;
  recorder.note(someRun(ended));
  isAway = false;
  const last = await waitFor(() => shown.find(({ status }) => status === "FINISHED"), { what: "it", everyMs: 2 });
  await recorder.close();
  expect(last).toMatchObject({
    endedAt: 5,
    params: { slice: "site=north", trigger: "PERSON" },
    tags: { "tributary.phase": "SUCCEEDED", "tributary.dataset": "d-1" },
    datasets: [{ name: "edge/d-1" }, { name: "edge/base", md5: "b".repeat(32), source: "s3://datasets" }],
    version: { tags: { "tributary.digest": "ab" } },
  });
  expect(shown.filter(({ status }) => status === "FINISHED")).toHaveLength(1);
});

test("what MLflow refuses is left until it changes, and holds up no other training; what ended long ago is not shown again", async () => {
  const { recorder, shown } = opened(({ runId }) => {
    if (runId === "a") throw new Failure("server-refused", "ask-a-person", "HTTP 400");
  });
  const now = systemClock.now();
  const old = { phase: "FAILED", endedAt: now - 3 * 86_400_000 } as const;
  recorder.noteAll([
    someRun({ runId: "a" }),
    someRun({ runId: "b", ...old }),
    someRun({ runId: "c", phase: "CANCELLED", endedAt: now }),
  ]);
  await waitFor(() => shown.length === 2, { what: "both", everyMs: 2 });
  recorder.note(someRun({ runId: "a", phase: "TRAINING" }));
  await waitFor(() => shown.length === 3, { what: "the change", everyMs: 2 });
  await recorder.close();
  expect(shown.map(({ runId, status }) => `${runId} ${status}`)).toEqual(["a RUNNING", "c KILLED", "a RUNNING"]);
});
