/** `tributary datasets` against a gateway and a trainer that answer from memory. */
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { tempDir } from "@tributary/testing";
import type { DatasetFrame } from "@tributary/training";
import { frameFile, manifestText } from "@tributary/training/dataset";
import { runHere } from "./run.test-kit.ts";

const frame = (i: number, label: string): DatasetFrame => {
  const sha256 = i.toString(16).padStart(64, "0");
  const file = frameFile(sha256);
  const rest = { labelSource: "PERSON", slice: "site=north", frameId: "", deviceId: "cam-1", samplePropensity: null };
  return { file, sha256, label, split: "TRAIN", ...rest };
};
const manifests: Readonly<Record<string, readonly DatasetFrame[]>> = {
  aaaa11112222: [frame(1, "cat"), frame(2, "cat"), frame(3, "dog")],
  aabb11112222: [frame(2, "dog"), frame(3, "dog"), frame(4, "cat")],
};
const dataset = (version: string) => ({
  model: "edge",
  version,
  kind: "RETRAINING",
  md5: version.padEnd(32, "0"),
  frames: 3,
  bytes: 3_000,
  createdAt: "2026-11-28T12:00:00.000Z",
  createdBy: "trainer",
  runId: "run-1",
  verdictId: "verdict-1",
  baseVersion: "bbbb11112222",
  parts: [{ slice: "site=north", split: "TRAIN", frames: 3, classes: { cat: 2, dog: 1 } }],
  labelSources: { PERSON: 3 },
  devices: 1,
  leftOut: { "near-duplicate": 2 },
  query: { seed: "run-1" },
});

const dir = tempDir("cli-datasets");
const uploaded = new Set<string>();
let server: Server;
let url: string;
beforeAll(async () => {
  const versions = Object.keys(manifests).reverse();
  const json = new Map<string, unknown>([["/api/v1/datasets", { items: versions.map(dataset) }]]);
  for (const version of versions) json.set(`/api/v1/datasets/edge/${version}`, dataset(version));
  server = createServer((request, response) => {
    const path = new URL(request.url ?? "", "http://localhost").pathname;
    const [, version = ""] = /^\/api\/v1\/datasets\/edge\/(\w+)\/(?:manifest|dvc)$/.exec(path) ?? [];
    const body = json.get(path);
    request.resume().on("end", () => {
      if (body !== undefined) response.setHeader("content-type", "application/json").end(JSON.stringify(body));
      else if (path.endsWith("/manifest")) {
        response.setHeader("content-type", "application/x-ndjson").end(manifestText(manifests[version] ?? []));
      } else if (path.endsWith("/dvc")) {
        response.setHeader("content-type", "application/yaml").end(`outs:\n- md5: ${version}.dir\n`);
      } else if (request.method === "HEAD") response.writeHead(uploaded.has(path) ? 200 : 404).end();
      else if (path.startsWith("/blobs/")) {
        uploaded.add(path);
        response.setHeader("content-type", "application/json").end("{}");
      } else response.setHeader("content-type", "application/json").end(JSON.stringify(dataset("aaaa11112222")));
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  dir.remove();
});

const datasets = (...words: readonly string[]) => runHere(["datasets", ...words, "--gateway", url]);

test("versions are listed, described, and found by the beginning of their names", async () => {
  expect((await datasets("list")).text).toMatch(/edge\/aabb11112222 +retraining +site=north +3 +TRAIN 3/);
  const { text } = await datasets("describe", "edge/aaaa");
  for (const line of [
    /Left out +near-duplicate 2/,
    /Base set +edge\/bbbb11112222/,
    /site=north +TRAIN +3 +cat 2, dog 1/,
  ]) {
    expect(text).toMatch(line);
  }
  expect((await datasets("describe", "edge", "--dvc")).stdout).toBe("outs:\n- md5: aabb11112222.dir\n");
  expect(await datasets("describe", "edge/aa")).toMatchObject({ code: 2, text: expect.stringContaining("several") });
  expect(await datasets("describe", "edge/ff")).toMatchObject({ code: 3, text: expect.stringContaining("no dataset") });
});

test("two versions are compared frame by frame", async () => {
  const { text } = await datasets("diff", "edge/aaaa", "edge/aabb");
  expect(text).toContain("1 added, 1 removed, 1 relabelled, 1 the same");
  expect(text).toMatch(/dog +0 +0 +1\n/);
  expect(JSON.parse((await datasets("diff", "edge/aaaa", "edge/aabb", "-o", "json")).stdout)).toMatchObject({
    added: 1,
    relabelledFrames: [{ from: "cat", to: "dog" }],
  });
  expect((await datasets("diff", "edge/aaaa", "edge/aaaa")).text).toBe("The same frames with the same labels.");
});

test("a base set is uploaded to the trainer, and only what it lacks", async () => {
  for (const label of ["cat", "dog"]) {
    mkdirSync(join(dir.path, label));
    for (let i = 0; i < 60; i++) writeFileSync(join(dir.path, label, `${i}.jpg`), `${label} ${i}`);
  }
  expect(await datasets("push", "edge", dir.path)).toMatchObject({
    code: 2,
    text: expect.stringContaining("--trainer"),
  });
  const push = () => datasets("push", "edge", dir.path, "--trainer", url);
  expect((await push()).text).toContain("Sent 121 of 121 files");
  expect((await push()).text).toContain("Sent 0 of 121 files");
});
