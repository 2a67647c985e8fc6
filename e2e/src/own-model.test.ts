/** A pair of models that share nothing with the samples but the contract: grey, 300x300, two classes, other layouts and ranges,
 * tensors of other names. From `models pack` through the agent to the cloud and back, with no code of ours changed. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { mains, type Stack, startStack } from "@tributary/local-stack";
import {
  freePort,
  repositoryRoot,
  type SpawnedService,
  spawnService,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";

const FRAMES = 120;
const dir = tempDir("own-model");
const photos = join(repositoryRoot, "samples/digits");
let stack: Stack;
let agent: SpawnedService;

const run = (...args: readonly string[]) =>
  execFileSync(process.execPath, ["--no-concurrent-sparkplug", ...args], {
    cwd: repositoryRoot,
    stdio: ["ignore", "pipe", "pipe"],
  });
const pack = (name: string, ...more: readonly string[]) =>
  run(
    "cli/dist/main.js",
    ...["models", "pack", join(dir.path, name)],
    ...["--model", join(photos, name, "model.onnx"), "--labels", join(photos, name, "labels.txt")],
    ...["--preprocess", join(photos, name, "preprocess.json"), "--validation", join(dir.path, "validation"), ...more],
  );

beforeAll(async () => {
  run("samples/digits/frames.mjs", "validation", join(dir.path, "validation"));
  run("samples/digits/frames.mjs", "test", join(dir.path, "frames"), String(FRAMES));
  pack("cloud");
  pack("edge", "--cloud", join(dir.path, "cloud"));
  stack = await startStack({
    dir: join(dir.path, "stack"),
    kafka: testKafka().brokers,
    prefix: testKafka().prefix,
    partitions: 4,
    devices: 0,
    edgePackage: join(dir.path, "edge"),
    cloudPackage: join(dir.path, "cloud"),
  });
  const { password } = await stack.devices.register("own");
  agent = await spawnService({
    name: "own",
    main: mains.agent,
    dir: dir.path,
    config: {
      deviceId: "own",
      dataDir: join(dir.path, "device"),
      mqtt: { url: stack.mqttUrl, password },
      http: { host: "127.0.0.1", port: await freePort() },
      cores: "shared",
      model: { package: join(dir.path, "edge") },
      cameras: [{ id: "cam", kind: "folder", folder: join(dir.path, "frames"), fps: 20 }],
    },
  });
}, 120_000);
afterAll(async () => {
  await agent?.stop();
  await stack?.stop();
  dir.remove();
}, 60_000);

type Answer = { readonly frameSeq: string; readonly label: string; readonly source: "EDGE" | "CLOUD" };

test("every frame gets a final answer, the cloud's are used, and they are right", async () => {
  const answers = await waitFor(
    async () => {
      const response = await fetch(`${stack.gatewayUrl}/api/v1/classifications?deviceId=own&limit=1000`);
      const body = (await response.json()) as { items: Answer[] };
      return body.items.length === FRAMES ? body.items : undefined;
    },
    { what: `${FRAMES} answers`, timeoutMs: 40_000, everyMs: 200 },
  );
  const truth = Object.values(JSON.parse(readFileSync(join(dir.path, "frames/labels.json"), "utf8")) as object);
  const right = answers.filter(({ frameSeq, label }) => truth[Number(frameSeq) - 1] === label);
  expect(answers.filter(({ source }) => source === "CLOUD").length).toBeGreaterThan(0);
  expect(right.length / FRAMES).toBeGreaterThan(0.85);
}, 60_000);
