/** The local backend between its sources and libs/local-training, whose own tests train. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, test } from "@jest/globals";
import { Failure } from "@tributary/kernel";
import { tempDir, waitFor } from "@tributary/testing";
import { someJob, somePlaces } from "./jobs.test-kit.ts";
import { LocalBackend, type LocalSources, localSchema } from "./local.ts";

const dir = tempDir("local-backend");
const whole = new AbortController().signal;
const config = localSchema.parse({ kind: "local" });
const results = pathToFileURL(join(dir.path, "results")).href;
const open: LocalBackend[] = [];
afterAll(async () => {
  for (const backend of open) await backend.close();
  dir.remove();
});

function backendOn(change: Partial<LocalSources> = {}): { backend: LocalBackend; asked: string[] } {
  const asked: string[] = [];
  const sources: LocalSources = {
    packageInto: async (digest, into) => {
      asked.push(digest);
      writeFileSync(join(into, "manifest.json"), "{}");
    },
    datasetInto: async (model, version, into) => {
      asked.push(`${model}/${version}`);
      writeFileSync(join(into, "manifest.jsonl"), "");
    },
    ...change,
  };
  const backend = new LocalBackend(config, dir.path, sources);
  open.push(backend);
  return { backend, asked };
}

test("inputs are provided once; a package that cannot be trained fails the job with its reason, in every instance", async () => {
  const { backend, asked } = backendOn();
  const start = () => backend.start(someJob(), 1, somePlaces({ results }), whole);
  const id = await start();
  expect(await start()).toBe(id);
  expect(asked).toEqual([someJob().parentDigest, "edge/3", "edge/1"]);
  const state = await waitFor(
    async () => {
      const now = await backend.status(id);
      return now.kind === "running" ? undefined : now;
    },
    { what: "the end of the job", everyMs: 100 },
  );
  expect(state).toMatchObject({ kind: "failed", isRetryable: false });
  expect(await backendOn().backend.status(id)).toEqual(state);
  expect((await backend.logs(id, 10)).length).toBeGreaterThan(0);
});

test("inputs that do not come leave no job and nothing behind (local.ts L1)", async () => {
  const went = new Failure("dataset-blob-missing", "ask-a-person", "the dataset's blobs went");
  const { backend } = backendOn({ datasetInto: () => Promise.reject(went) });
  const order = someJob({ runId: "went" });
  await expect(backend.start(order, 1, somePlaces({ results }), whole)).rejects.toBe(went);
  expect(await backend.status("went-1")).toEqual({ kind: "unknown" });
  const elsewhere = backend.start(order, 1, somePlaces({ results: "s3://results/1" }), whole);
  await expect(elsewhere).rejects.toMatchObject({ code: "training-results-elsewhere" });
});

test("results are at their place before a status says so (local.ts L2)", async () => {
  const { backend } = backendOn();
  const id = await backend.start(someJob({ runId: "done" }), 1, somePlaces({ results }), whole);
  await backend.close();
  const out = join(dir.path, "jobs", id, "out");
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, "model.onnx"), "m");
  writeFileSync(join(out, "result.json"), "{}");
  expect(await backend.status(id)).toEqual({ kind: "succeeded" });
  expect(readFileSync(join(dir.path, "results/model.onnx"), "utf8")).toBe("m");
  expect(readFileSync(join(dir.path, "results/result.json"), "utf8")).toBe("{}");
});
