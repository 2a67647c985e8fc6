/** The agent as a process follows its desired state: real models, real signed metadata, a real broker. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { DeviceDesired, DeviceReported, EdgeMetrics, EdgePredictions, mqttTopics } from "@tributary/contracts";
import { repositoryRoot, type SpawnedService, spawnService, tempDir, waitFor } from "@tributary/testing";
import { TinyBroker, TinyModelRegistry, type Variant, writeVariant } from "@tributary/testing/devices";
import sharp from "sharp";

const FACTORY = join(repositoryRoot, "models/edge-resnet8");
const factoryDigest = execFileSync("sha256sum", [join(FACTORY, "manifest.json")], { encoding: "utf8" }).slice(0, 64);
const DEVICE = "cam-01";
const JSON_BODY = { "content-type": "application/json" };
const topics = mqttTopics();
const shared = tempDir("updates-packages");
const file = (path: string) => readFileSync(join(FACTORY, path));

let modelRegistry: TinyModelRegistry;
let broker: TinyBroker;
let dir: ReturnType<typeof tempDir>;
const agents: SpawnedService[] = [];

beforeAll(async () => {
  modelRegistry = await TinyModelRegistry.open();
  writeFileSync(join(shared.path, "root.json"), modelRegistry.rootBytes);
});
afterAll(async () => {
  await modelRegistry.close();
  shared.remove();
});
beforeEach(async () => {
  dir = tempDir("updates");
  broker = await TinyBroker.open();
  modelRegistry.tamper = () => null;
  modelRegistry.bytesPerSecond = undefined;
  modelRegistry.asked.length = 0;
});
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.kill();
  await broker.close();
  dir.remove();
});

/** A package in the registry, another one for each name; a busy machine meets its budget. */
async function listed(name: string, variant: Variant = {}): Promise<string> {
  const folder = join(shared.path, name);
  await writeVariant(FACTORY, folder, { version: name, latencyBudgetMs: 500, ...variant });
  return modelRegistry.add(folder);
}

/** A shadow needs headroom, which a camera as fast as the model would not leave. */
const UNHURRIED = { fps: 8 };

type Running = { readonly agent: SpawnedService; readonly http: string };

async function start(camera: object | null = {}, more: object = {}): Promise<Running> {
  const sheet = { id: "front", kind: "sheet", sheets: join(repositoryRoot, "samples/cifar10-test"), fps: 20 };
  const agent = await spawnService({
    name: "agent",
    main: "edge/agent/dist/main.js",
    dir: dir.path,
    config: {
      deviceId: DEVICE,
      dataDir: join(dir.path, "data"),
      mqtt: { url: broker.url, password: "x" },
      model: { package: FACTORY },
      models: { registry: modelRegistry.url, root: join(shared.path, "root.json") },
      updates: { backoff: { minMs: 20, maxMs: 100 }, memoryBytesMin: 0 },
      predictions: { batchWaitMs: 100 },
      windows: { lengthMs: 1_000 },
      log: { level: "info" },
      cores: "shared",
      cameras: camera === null ? [] : [{ ...sheet, ...camera }],
      ...more,
    },
  });
  agents.push(agent);
  return { agent, http: `http://127.0.0.1:${agent.ports.http}` };
}

type Status = {
  readonly frames: number;
  readonly unreadable: number;
  readonly generation: number;
  readonly model: { readonly digest: string; readonly pid: number | null; readonly goldenPassed: boolean | null };
  readonly update: { readonly generation: number; readonly phase: string; readonly code: string } | null;
  readonly slots: { readonly good: string | null; readonly previous: string | null; readonly trial: string | null };
  readonly outbox: { readonly predictions: number; readonly frames: number; readonly uncommitted: number };
};
const statusOf = async ({ http }: Running): Promise<Status> =>
  (await fetch(`${http}/v1/status`)).json() as Promise<Status>;

type UpdateOptions = {
  readonly shadowFrames?: number;
  readonly probationFrames?: number;
  readonly condition?: "ANY" | "PARKED";
};

function want(
  generation: number,
  modelDigest: string,
  modelVersion: string,
  options: UpdateOptions = {},
): Promise<void> {
  const model = { modelName: "edge-resnet8", modelVersion, modelDigest };
  const how = { shadowFrames: 0, probationFrames: 10, condition: "ANY" as const, windows: [], ...options };
  const desired: DeviceDesired = {
    deviceId: DEVICE,
    generation: BigInt(generation),
    slots: { perception: { ...model, ...how } },
    policyVersion: null,
    arm: "default",
    rollout: "r-1",
    why: "a test",
    changedAt: Date.now(),
  };
  return broker.publish(topics.desired(DEVICE), DeviceDesired.encodeSingleObject(desired), true);
}

const ended = (running: Running, generation: number) =>
  waitFor(
    async () => {
      const { update } = await statusOf(running);
      const isOver = ["COMMITTED", "REFUSED", "REVERTED"].includes(update?.phase ?? "");
      if (update?.generation === generation && isOver) return update;
      throw new Error(`still ${JSON.stringify(update)}`);
    },
    { what: `the end of generation ${generation}`, timeoutMs: 120_000 },
  );

const upOf = (stream: "predictions" | "reported" | "metrics") =>
  broker.received.filter(({ topic }) => topic === topics.up(DEVICE, stream)).map(({ payload }) => payload);
const reports = () => upOf("reported").map((payload) => DeviceReported.decodeSingleObject(payload));
const batches = () => upOf("predictions").map((payload) => EdgePredictions.decodeSingleObject(payload));
const hasAnswered = (digest: string) => batches().some(({ modelDigest }) => modelDigest === digest);

/** Every frame is answered once, by one model in every field of the answer (slots.ts N1, N2). */
async function everyFrameAnsweredOnce(running: Running, digests: readonly string[]): Promise<void> {
  await waitFor(() => digests.every(hasAnswered), { what: "predictions by each model" });
  await waitFor(async () => (await statusOf(running)).outbox.predictions < 40, {
    what: "an outbox that drains",
  });
  const seqs = batches()
    .flatMap(({ predictions }) => predictions.map(({ frameSeq }) => Number(frameSeq)))
    .sort((a, b) => a - b);
  expect(seqs).toEqual(seqs.map((_, i) => i + 1));
  const seen = new Map(batches().map(({ modelDigest, policyVersion }) => [modelDigest, policyVersion]));
  expect([...seen.keys()].sort()).toEqual([...digests].sort());
  expect(new Set(seen.values()).size).toBe(digests.length);
}

test("a good package is fetched, proved, shadowed, tried and committed; after a restart it runs without a registry", async () => {
  const digest = await listed("1.1.0");
  const running = await start(UNHURRIED);
  modelRegistry.bytesPerSecond = 1_000_000;
  await waitFor(() => reports().length > 0, { what: "what it runs at first" });
  await want(1, digest, "1.1.0", { shadowFrames: 10 });
  expect(await ended(running, 1)).toMatchObject({ phase: "COMMITTED", code: "" });
  const status = await statusOf(running);
  expect(status.model).toMatchObject({ digest, goldenPassed: true });
  expect(status.slots).toEqual({ good: digest, previous: null, trial: null });
  await waitFor(async () => (await statusOf(running)).frames > status.frames + 10, { what: "frames by the new one" });
  await everyFrameAnsweredOnce(running, [factoryDigest, digest]);

  const reported = reports();
  expect(reported.map(({ generation }) => Number(generation))).toEqual(
    [...reported.keys()].map((i) => (i === 0 ? 0 : 1)),
  );
  const phases = reported.map(({ update }) => update?.phase);
  expect(phases[0]).toBeUndefined();
  expect([...new Set(phases.slice(1))]).toEqual(
    expect.arrayContaining(["DOWNLOADING", "VERIFYING", "SHADOWING", "PROBATION", "COMMITTED"]),
  );
  for (const { update, slots, goldenPassed } of reported) {
    expect(goldenPassed).toBe(true); // The factory's were tried when the agent started.
    const isNew = ["PROBATION", "COMMITTED"].includes(update?.phase ?? "");
    if (update?.phase !== "PROBATION") expect(slots.perception?.modelDigest).toBe(isNew ? digest : factoryDigest);
  }
  expect(reported[0]?.acceptedSchemas).toContain(DeviceDesired.current.fingerprint);
  const metrics = await waitFor(
    () => {
      const windows = upOf("metrics").map((payload) => EdgeMetrics.decodeSingleObject(payload));
      const shadowed = windows.flatMap(({ models }) => models).find(({ metrics }) => "shadow_agreed" in metrics);
      return shadowed;
    },
    { what: "a window with the shadow's counts" },
  );
  expect(metrics.modelDigest).toBe(digest);
  expect(Number(metrics.metrics.shadow_agreed?.sum)).toBeGreaterThan(0); // The same weights agree.

  await running.agent.stop();
  modelRegistry.tamper = () => "away";
  const again = await start();
  expect((await statusOf(again)).model).toMatchObject({ digest, goldenPassed: true });
  expect((await statusOf(again)).update).toMatchObject({ phase: "COMMITTED", generation: 1 });
  // Reverting to the factory's package needs no registry.
  await want(2, factoryDigest, "1.0.0");
  expect(await ended(again, 2)).toMatchObject({ phase: "COMMITTED" });
  expect((await statusOf(again)).slots).toEqual({ good: null, previous: digest, trial: null });
}, 240_000);

test("a rollback to a model that was active before needs no registry; one that was never downloaded is refused without", async () => {
  const before = await listed("1.1.1", { latencyBudgetMs: 541 });
  const after = await listed("1.1.2", { latencyBudgetMs: 542 });
  const other = await listed("1.1.3", { latencyBudgetMs: 543 });
  const running = await start();
  for (const [i, [digest, version]] of (
    [
      [before, "1.1.1"],
      [after, "1.1.2"],
    ] as const
  ).entries()) {
    await want(i + 1, digest, version);
    expect(await ended(running, i + 1)).toMatchObject({ phase: "COMMITTED" });
  }
  modelRegistry.tamper = () => Buffer.from("<html>a proxy's page</html>");
  await want(3, before, "1.1.1", { probationFrames: 0 });
  expect(await ended(running, 3)).toMatchObject({ phase: "COMMITTED" });
  await want(4, other, "1.1.3");
  expect(await ended(running, 4)).toMatchObject({ phase: "REFUSED", code: "tuf-malformed" });
  expect((await statusOf(running)).model.digest).toBe(before);
}, 240_000);

test("a package that must not run is refused with its code, and the active model continues", async () => {
  const [first = 0] = JSON.parse(String(file("golden/index.json"))).frames[0].logits.map((_: number, i: number) => i);
  const golden = JSON.parse(String(file("golden/index.json"))) as { frames: { logits: number[] }[] };
  for (const frame of golden.frames) frame.logits = frame.logits.map((_, i) => (i === first ? -9 : -i)).reverse();
  const other = await listed("1.2.0", { hardwareClass: "riscv" });
  const mismatch = await listed("1.2.1", { files: { "golden/index.json": Buffer.from(JSON.stringify(golden)) } });
  const slow = await listed("1.2.2", { latencyBudgetMs: 0.01 });
  const cloud = await listed("1.2.3", { files: { "policy.json": undefined } });
  const hollow = await listed("1.2.4", { files: { "model.onnx": withoutNumbers(file("model.onnx")) } });
  const flipped = await listed("1.2.5", { files: { "labels.json": Buffer.from(`${String(file("labels.json"))} `) } });
  const gone = await listed("1.2.6", { latencyBudgetMs: 549 });
  await modelRegistry.delist(gone);
  const running = await start();
  const cases: readonly (readonly [string, string, string])[] = [
    [other, "1.2.0", "package-other-hardware"],
    [mismatch, "1.2.1", "golden-mismatch"],
    [slow, "1.2.2", "model-too-slow"],
    [cloud, "1.2.3", "package-policy-missing"],
    [hollow, "1.2.4", "golden-mismatch"],
    [flipped, "1.2.5", "package-digest-mismatch"],
    [gone, "1.2.6", "package-unlisted"],
    [mismatch, "1.9.9", "package-not-as-named"],
  ];
  const flip = Buffer.from(`${String(file("labels.json"))} `);
  modelRegistry.tamper = (path, bytes) => {
    if (!path.startsWith("/blobs/") || !bytes.equals(flip)) return null;
    const bent = Buffer.from(bytes);
    bent[10] = (bent[10] as number) ^ 1;
    return bent;
  };
  for (const [i, [digest, version, code]] of cases.entries()) {
    await want(i + 1, digest, version);
    expect(await ended(running, i + 1)).toMatchObject({ phase: "REFUSED", code });
    expect((await statusOf(running)).model.digest).toBe(factoryDigest);
  }
  // Metadata whose signature does not match.
  modelRegistry.tamper = (path, bytes) =>
    path.endsWith("timestamp.json") ? Buffer.from(bytes.toString().replace(/"sig":"../, '"sig":"00')) : null;
  await want(20, mismatch, "1.2.1");
  expect(await ended(running, 20)).toMatchObject({ phase: "REFUSED", code: expect.stringMatching(/^tuf-/) });
  // Older than what was here.
  modelRegistry.tamper = () => null;
  await want(19, await listed("1.2.7"), "1.2.7");
  const refused = /tributary_agent_downlink_refused_total\{channel="desired",code="desired-older"\} 1/;
  const isRefused = async () => refused.test(await (await fetch(`${running.http}/metrics`)).text());
  await waitFor(isRefused, { what: "the older generation to be refused" });
  expect(await statusOf(running)).toMatchObject({ generation: 20, model: { digest: factoryDigest } });
  await everyFrameAnsweredOnce(running, [factoryDigest]);
}, 240_000);

test("a download that breaks off is taken up where it was left, also after a kill", async () => {
  const digest = await listed("1.3.0", { latencyBudgetMs: 548 });
  const running = await start(null);
  const model = file("model.onnx");
  let cuts = 0;
  modelRegistry.tamper = (path, bytes) =>
    path.startsWith("/blobs/") && bytes.equals(model) && cuts++ === 0 ? "cut" : null;
  modelRegistry.bytesPerSecond = 400_000;
  await want(1, digest, "1.3.0", { probationFrames: 0 });
  await waitFor(() => modelRegistry.asked.some(({ from }) => from > 0), { what: "a download taken up" });
  await running.agent.kill();
  modelRegistry.bytesPerSecond = undefined;
  const asked = modelRegistry.asked.length;
  const again = await start(null);
  expect((await statusOf(again)).model.digest).toBe(factoryDigest);
  expect(await ended(again, 1)).toMatchObject({ phase: "COMMITTED" });
  const files = Object.keys(JSON.parse(String(file("manifest.json"))).files).length;
  expect(modelRegistry.asked.slice(asked).filter(({ path }) => path.startsWith("/blobs/")).length).toBeLessThan(files);
}, 240_000);

test("a crash in probation takes the device back by itself, and no frame is lost", async () => {
  const digest = await listed("1.4.0", { latencyBudgetMs: 547 });
  const running = await start();
  await want(1, digest, "1.4.0", { probationFrames: 1_000_000 });
  const { model } = await waitFor(
    async () => {
      const status = await statusOf(running);
      return status.update?.phase === "PROBATION" && status.model.digest === digest ? status : undefined;
    },
    { what: "probation" },
  );
  await waitFor(() => hasAnswered(digest), { what: "an answer by the model on probation" });
  process.kill(model.pid as number, "SIGKILL");
  expect(await ended(running, 1)).toMatchObject({ phase: "REVERTED", code: "model-crashed" });
  const status = await statusOf(running);
  expect(status.model.digest).toBe(factoryDigest);
  expect(status.slots).toEqual({ good: null, previous: null, trial: null });
  await waitFor(async () => (await statusOf(running)).frames > status.frames + 20, {
    what: "frames by the committed model",
  });
  await everyFrameAnsweredOnce(running, [factoryDigest, digest]);
  const losses = await waitFor(
    () => {
      const windows = upOf("metrics").map((payload) => EdgeMetrics.decodeSingleObject(payload));
      const ofModel = windows.flatMap(({ models }) => models).find(({ metrics }) => "model_losses" in metrics);
      const ofDevice = windows.find(({ device }) => device.model_losses?.sum === 1);
      return ofModel && ofDevice && ofModel.modelDigest;
    },
    { what: "a window with the crash" },
  );
  expect(losses).toBe(digest);
  // For this generation that was all.
  await want(1, digest, "1.4.0");
  await want(0, digest, "1.4.0"); // Once this one is refused, the one before it was read.
  const isRefused = () => running.agent.events().some(({ event }) => event === "downlink_refused");
  await waitFor(isRefused, { what: "the older one to be refused" });
  expect((await statusOf(running)).update?.phase).toBe("REVERTED");
}, 240_000);

test("a kill in probation restarts the committed model, which then tries again; a model too slow for its frames is reverted", async () => {
  const photos = join(dir.path, "photos");
  mkdirSync(photos);
  const noise = { type: "gaussian" as const, mean: 128, sigma: 30 };
  const large = { width: 4_000, height: 3_000, channels: 3 as const, background: "gray", noise };
  // All of a progressive picture has to be decoded: that takes several times the budget, an ordinary one of this size about as long.
  writeFileSync(join(photos, "1.jpg"), await sharp({ create: large }).jpeg({ progressive: true }).toBuffer());
  const digest = await listed("1.5.0", { latencyBudgetMs: 50 });
  const camera = { kind: "folder", folder: photos, loop: true, fps: 5, sheets: undefined };
  const running = await start(camera);
  await want(1, digest, "1.5.0", { probationFrames: 1_000_000 });
  // Ten such pictures in shadow: on a busy machine a minute and more.
  await waitFor(async () => (await statusOf(running)).slots.trial === digest, { what: "a trial", timeoutMs: 150_000 });
  await running.agent.kill();
  const again = await start(camera);
  expect((await statusOf(again)).model.digest).toBe(factoryDigest);
  await want(2, digest, "1.5.0", { probationFrames: 6 });
  expect(await ended(again, 2)).toMatchObject({ phase: "REVERTED", code: "model-too-slow" });
  expect((await statusOf(again)).model.digest).toBe(factoryDigest);
}, 400_000);

test("a model that cannot take this camera's pictures is refused in its shadow, and reverted on trial; each is answered", async () => {
  // Its own golden frames, of its own size, it does reproduce.
  const { do_resize: _, size: __, resample: ___, ...asTheyAre } = JSON.parse(String(file("preprocessor_config.json")));
  const files: Record<string, Uint8Array> = {
    "preprocessor_config.json": Buffer.from(JSON.stringify({ ...asTheyAre, do_resize: false })),
  };
  const golden = JSON.parse(String(file("golden/index.json"))) as { frames: { jpeg: string; pixels: string }[] };
  for (const { jpeg, pixels } of golden.frames) {
    const raw = { width: 32, height: 32, channels: 3 as const };
    const small = await sharp(file(pixels), { raw }).jpeg({ quality: 100, chromaSubsampling: "4:4:4" }).toBuffer();
    const decoded = await sharp(small).raw().toBuffer();
    decoded[0] = (decoded[0] as number) ^ 1; // As another build of the codec has it.
    [files[jpeg], files[pixels]] = [small, decoded];
  }
  const digest = await listed("1.7.0", { latencyBudgetMs: 545, files });
  const photos = join(dir.path, "photos");
  mkdirSync(photos);
  writeFileSync(join(photos, "1.jpg"), file("golden/frame-00.jpg"));
  const running = await start({ kind: "folder", folder: photos, loop: true, sheets: undefined, ...UNHURRIED });
  await want(1, digest, "1.7.0", { shadowFrames: 3 });
  expect(await ended(running, 1)).toMatchObject({ phase: "REFUSED", code: "image-size-wrong" });
  await want(2, digest, "1.7.0");
  expect(await ended(running, 2)).toMatchObject({ phase: "REVERTED", code: "image-size-wrong" });
  const { frames, model, unreadable } = await statusOf(running);
  expect([model.digest, unreadable]).toEqual([factoryDigest, 0]);
  await waitFor(async () => (await statusOf(running)).frames > frames + 10, { what: "frames by the committed model" });
  await everyFrameAnsweredOnce(running, [factoryDigest]);
}, 240_000);

test("a condition is waited for and reported; a damaged package in a slot is skipped, and fetched again", async () => {
  const digest = await listed("1.6.0", { latencyBudgetMs: 546 });
  const running = await start();
  await want(1, digest, "1.6.0", { condition: "PARKED" });
  await waitFor(async () => (await statusOf(running)).update?.code === "condition-parked", {
    what: "a wait for parking",
  });
  const bad = await fetch(`${running.http}/v1/conditions`, {
    method: "POST",
    headers: JSON_BODY,
    body: '{"parked":1}',
  });
  expect(bad.status).toBe(400);
  const response = await fetch(`${running.http}/v1/conditions`, {
    method: "POST",
    headers: JSON_BODY,
    body: '{"parked":true}',
  });
  expect(await response.json()).toEqual({ idle: false, parked: true });
  expect(await ended(running, 1)).toMatchObject({ phase: "COMMITTED" });
  await running.agent.stop();

  const slot = join(dir.path, "data/models/packages", digest);
  const calibration = readFileSync(join(slot, "calibration.json"));
  calibration[calibration.length - 5] = (calibration[calibration.length - 5] as number) ^ 1;
  writeFileSync(join(slot, "calibration.json"), calibration);
  const again = await start();
  expect((await statusOf(again)).model.digest).toBe(factoryDigest);
  await waitFor(async () => (await statusOf(again)).update?.code === "condition-parked", {
    what: "a new try",
  });
  await fetch(`${again.http}/v1/conditions`, { method: "POST", headers: JSON_BODY, body: '{"parked":true}' });
  await waitFor(async () => (await statusOf(again)).slots.good === digest, { what: "the slot" });
}, 240_000);

test("package-store.ts S1: a damaged list of slots causes no second download of the desired package", async () => {
  const digest = await listed("1.7.0", { latencyBudgetMs: 545 });
  const running = await start(null);
  await want(1, digest, "1.7.0", { probationFrames: 0 });
  expect(await ended(running, 1)).toMatchObject({ phase: "COMMITTED" });
  await running.agent.stop();
  writeFileSync(join(dir.path, "data/models/slots.json"), '{"sha256":"0","book":{}}');
  modelRegistry.asked.length = 0;
  const again = await start(null);
  expect(await ended(again, 1)).toMatchObject({ phase: "COMMITTED" });
  expect((await statusOf(again)).model.digest).toBe(digest);
  expect(modelRegistry.asked.filter(({ path }) => path.startsWith("/blobs/"))).toEqual([]);
}, 240_000);

test("without a registry a desired state is refused, and that is reported; a damaged list of slots is replaced by an empty one", async () => {
  rmSync(join(dir.path, "data"), { recursive: true, force: true });
  mkdirSync(join(dir.path, "data/models"), { recursive: true });
  writeFileSync(join(dir.path, "data/models/slots.json"), '{"sha256":"0","book":{}}');
  const running = await start(null, { models: undefined });
  expect((await statusOf(running)).model.digest).toBe(factoryDigest);
  await want(3, "a".repeat(64), "9.9.9");
  expect(await ended(running, 3)).toMatchObject({ phase: "REFUSED", code: "models-no-registry" });
  const last = await waitFor(() => reports().find(({ update }) => update?.phase === "REFUSED"), {
    what: "a report",
  });
  expect(last).toMatchObject({ generation: 3n, update: { code: "models-no-registry", slot: "perception" } });
}, 240_000);

/** The model with every float weight replaced by what is no number: ModelProto.graph.initializer.raw_data, float_data. */
function withoutNumbers(model: Buffer): Buffer {
  const hollow = Buffer.from(model);
  for (const graph of fieldsOf(hollow, 7)) {
    for (const tensor of fieldsOf(graph, 5)) {
      for (const values of [...fieldsOf(tensor, 9), ...fieldsOf(tensor, 4)]) {
        const isFloats = values.length % 4 === 0 && tensor.indexOf("1001", 0, "hex") !== -1;
        for (let at = 0; isFloats && at < values.length; at += 4) values.writeFloatLE(Number.NaN, at);
      }
    }
  }
  return hollow;
}

/** Length-delimited fields of this number in a protobuf message; views, not copies. */
function fieldsOf(message: Buffer, wanted: number): readonly Buffer[] {
  const found: Buffer[] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = message[at++] as number;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const key = varint();
    const wire = key & 7;
    if (wire === 0) varint();
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else {
      const length = varint();
      if (key >> 3 === wanted) found.push(message.subarray(at, at + length));
      at += length;
    }
  }
  return found;
}
