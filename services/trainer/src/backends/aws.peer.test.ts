/** Step Functions and SageMaker against moto's server, an independent implementation. Its executions run until they are stopped, and its
 * training jobs are over at once. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { DescribeTrainingJobCommand, SageMakerClient } from "@aws-sdk/client-sagemaker";
import { CreateStateMachineCommand, SFNClient } from "@aws-sdk/client-sfn";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { openS3ObjectStore } from "@tributary/blob-store";
import { freePort, tempDir, waitFor } from "@tributary/testing";
import { python } from "../../../../tools/peers.mjs";
import { ObjectResults } from "../runs/object-results.ts";
import { someRun } from "../trainer.test-kit.ts";
import { opened, someJob, somePlaces } from "./jobs.test-kit.ts";

const whole = new AbortController().signal;
const region = "eu-central-1";
const role = "arn:aws:iam::123456789012:role/train";
const dir = tempDir("results");
let moto: ChildProcess;
let endpointUrl: string;
let stateMachineArn: string;

beforeAll(async () => {
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test" });
  const port = await freePort();
  endpointUrl = `http://127.0.0.1:${port}`;
  moto = spawn(python("aws"), ["-m", "moto.server", "-H", "127.0.0.1", "-p", `${port}`], { stdio: "ignore" });
  await waitFor(async () => (await fetch(`${endpointUrl}/moto-api/`)).ok, {
    what: "moto's server",
    timeoutMs: 120_000,
    everyMs: 200,
  });
  const sfn = new SFNClient({ region, endpoint: endpointUrl });
  const definition = JSON.stringify({ StartAt: "Train", States: { Train: { Type: "Pass", End: true } } });
  const made = await sfn.send(new CreateStateMachineCommand({ name: "retrain", definition, roleArn: role }));
  stateMachineArn = made.stateMachineArn ?? "";
}, 300_000);
afterAll(() => {
  moto.kill();
  dir.remove();
});

const awsBackend = (config: object) => opened({ region, endpointUrl, ...config });

test("Step Functions: a start is idempotent while it runs and after, an execution is cancelled, its history is the log", async () => {
  const backend = awsBackend({ kind: "step-functions", stateMachineArn });
  const start = (attempt: number) => backend.start(someJob(), attempt, somePlaces(), whole);
  const id = await start(1);
  expect(id).toMatch(/:execution:retrain:tributary-5f0c1d2e-1$/);
  expect(await start(1)).toBe(id);
  expect(await backend.status(id, whole)).toMatchObject({ kind: "running" });
  await backend.cancel(id, whole);
  expect(await backend.status(id, whole)).toEqual({ kind: "cancelled" });
  expect(await start(1)).toBe(id);
  expect(await start(2)).not.toBe(id);
  expect((await backend.logs(id, 100, whole)).length).toBeGreaterThan(0);
  const unknown = id.replace(/-1$/, "-9");
  expect(await backend.status(unknown, whole)).toEqual({ kind: "unknown" });
  await backend.cancel(unknown, whole);
});

test("a state machine that does not exist is a person's, with its name", async () => {
  const missing = stateMachineArn.replace("retrain", "nothing");
  const backend = awsBackend({ kind: "step-functions", stateMachineArn: missing });
  const failed = backend.start(someJob(), 1, somePlaces(), whole);
  await expect(failed).rejects.toMatchObject({ code: "server-refused", advice: "ask-a-person" });
});

test("SageMaker: the job has its order as hyperparameter; a second start is the same job", async () => {
  const config = {
    kind: "sagemaker",
    image: "1.dkr.ecr/train:1",
    role,
    instanceType: "ml.m5.large",
    output: "s3://models/out",
  };
  const backend = awsBackend({ ...config, channels: { datasets: "s3://datasets/dvc" } });
  const id = await backend.start(someJob(), 1, somePlaces(), whole);
  expect(id).toBe("tributary-5f0c1d2e-1");
  expect(await backend.status(id, whole)).toEqual({ kind: "succeeded" });
  expect(await backend.start(someJob(), 1, somePlaces(), whole)).toBe(id);
  const client = new SageMakerClient({ region, endpoint: endpointUrl });
  const job = await client.send(new DescribeTrainingJobCommand({ TrainingJobName: id }));
  expect(JSON.parse(job.HyperParameters?.job ?? "")).toEqual({ ...someJob(), attempt: 1, places: somePlaces() });
  expect(await backend.status("tributary-never-1", whole)).toEqual({ kind: "unknown" });
  expect(Array.isArray(await backend.logs(id, 10, whole))).toBe(true);
  const long = backend.start(someJob({ slice: `label:x=${"y".repeat(2_500)}` }), 1, somePlaces(), whole);
  await expect(long).rejects.toMatchObject({ code: "training-order-too-long" });
});

test("what a job leaves in S3 is read with its sizes; what is missing is named", async () => {
  const put = (path: string, body = "") => fetch(`${endpointUrl}/results${path}`, { method: "PUT", body });
  expect((await put("")).ok).toBe(true);
  const objects = await openS3ObjectStore({ bucket: "results", prefix: "runs/", region, endpointUrl });
  const results = new ObjectResults(objects);
  const run = someRun({ runId: "5f0c1d2e" });
  const uri = await results.uriOf(run);
  expect(uri).toBe("s3://results/runs/5f0c1d2e/1");
  expect(await results.read(run)).toEqual({ kind: "malformed", reason: `there is no model.onnx in ${uri}` });
  await put("/runs/5f0c1d2e/1/model.onnx", "onnx");
  expect(await results.read(run)).toEqual({ kind: "malformed", reason: `there is no result.json in ${uri}` });
  await put("/runs/5f0c1d2e/1/result.json", '{"formatVersion": 1, "blend": 0.8}');
  expect(await results.read(run)).toEqual({ kind: "result", result: { formatVersion: 1, blend: 0.8 } });
  expect(await readFile(await results.model(run, dir.path, whole), "utf8")).toBe("onnx");
});
