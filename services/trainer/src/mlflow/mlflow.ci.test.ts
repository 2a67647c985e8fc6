/** The log of trainings in MLflow itself. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { seededRandom, systemClock } from "@tributary/kernel";
import { type Mlflow, startMlflow, tempDir } from "@tributary/testing";
import { MlflowLog, type MlflowRecord, mlflowSchema } from "./mlflow-log.ts";

const whole = new AbortController().signal;
const dir = tempDir("training-mlflow");
let mlflow: Mlflow;

beforeAll(async () => {
  mlflow = await startMlflow(dir.path);
}, 600_000);
afterAll(async () => {
  await mlflow?.stop();
  dir.remove();
});

const record: MlflowRecord = {
  runId: "5f0c1d2e",
  name: "edge on site=north",
  model: "edge",
  startedAt: 1_700_000_000_000,
  endedAt: null,
  status: "RUNNING",
  params: { epochs: 24, layers: "all" },
  metrics: {},
  tags: { "tributary.verdict": "v-1" },
  datasets: [
    { name: "edge/3", md5: "0123456789abcdef0123456789abcdef", source: "s3://datasets/dvc", context: "training" },
  ],
  version: null,
};
test("a training is one run with parameters, metrics, dataset and a registered version, however often it is recorded", async () => {
  const config = mlflowSchema.parse({ url: mlflow.url, models: { edge: "Edge model" }, alias: "candidate" });
  const log = new MlflowLog(config, { clock: systemClock, random: seededRandom(1) });
  const first = await log.record(record, whole);
  const files = new Map([["model.onnx", Buffer.from("onnx")]]);
  const ended: MlflowRecord = {
    ...record,
    endedAt: 1_700_000_090_000,
    status: "FINISHED",
    metrics: { "accuracy/after/site=north": 0.81, loss: Number.NaN },
    tags: { ...record.tags, "tributary.reason": "x".repeat(9_000) },
    version: { files: async () => files, tags: { dataset: "edge/3" } },
  };
  const second = await log.record(ended, whole);
  expect(await log.record(ended, whole)).toEqual(second);
  expect(second).toEqual({ mlflowRun: first.mlflowRun, modelVersion: "1" });
  const { run } = await mlflow.ask(`runs/get?run_id=${first.mlflowRun}`);
  expect(run).toMatchObject({
    info: { status: "FINISHED", run_name: "edge on site=north", end_time: 1_700_000_090_000 },
    data: {
      params: expect.arrayContaining([{ key: "epochs", value: "24" }]),
      metrics: [expect.objectContaining({ key: "accuracy/after/site_north", value: 0.81 })],
      tags: expect.arrayContaining([{ key: "tributary.verdict", value: "v-1" }]),
    },
    inputs: {
      dataset_inputs: [
        {
          dataset: { name: "edge/3", digest: "0123456789abcdef0123456789abcdef", source_type: "dvc" },
          tags: [{ key: "mlflow.data.context", value: "training" }],
        },
      ],
    },
  });
  const alias = await mlflow.ask(
    `registered-models/alias?${new URLSearchParams({ name: "Edge model", alias: "candidate" })}`,
  );
  expect(alias.model_version).toMatchObject({ version: "1", run_id: first.mlflowRun, status: "READY" });
  const file = await mlflow.artifact((alias.model_version as { source: string }).source, "model.onnx");
  expect(await file.text()).toBe("onnx");
}, 120_000);
