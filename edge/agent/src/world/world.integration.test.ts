/** Slot `world` of a real agent: staged at any time, applied only while parked, used with a context, reverted where it makes things worse. */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { Classifications, DeviceDesired, DeviceReported, EdgePredictions, mqttTopics } from "@tributary/contracts";
import { writeWorld } from "@tributary/model-store";
import { cifarLabels, someAnswer } from "@tributary/testing";
import { TinyBroker, TinyModelRegistry, writeVariant } from "@tributary/testing/devices";
import type { WorldTable } from "@tributary/world";
import { at, type Running, startAgentProcess, until } from "../testing/agent-process.ts";

const DEVICE = "car-01";
const FULL = at("models/edge-resnet8");
const topics = mqttTopics();
const json = { "content-type": "application/json" };

let folder: string;
let broker: TinyBroker;
let registry: TinyModelRegistry;
let flat: string;
const children: ChildProcess[] = [];

const table = (change: Partial<WorldTable> = {}): WorldTable => ({
  formatVersion: 1,
  labels: cifarLabels,
  factors: [
    { name: "place", kind: "text" },
    { name: "hour", kind: "number", min: 0, max: 24, edges: [12] },
  ],
  prior: cifarLabels.map(() => 1 / cifarLabels.length),
  strength: 20,
  cells: {},
  ...change,
});
/** At sea there are ships, and hardly anything else. */
const only = (label: string) => cifarLabels.map((one) => (one === label ? 1_000 : 1));

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "tributary-world-"));
  [broker, registry] = [await TinyBroker.open(), await TinyModelRegistry.open()];
  const policy = JSON.parse(readFileSync(join(FULL, "policy.json"), "utf8"));
  const sampled = JSON.stringify({ ...policy, samplePropensityMin: 1, sampleBudget: 1 });
  await writeVariant(FULL, join(folder, "full"), { files: { "policy.json": Buffer.from(sampled) } });
  writeFileSync(join(folder, "root.json"), registry.rootBytes);
  flat = await worldPackage("0.0.0", table());
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await Promise.all([broker.close(), registry.close()]);
  rmSync(folder, { recursive: true, force: true });
});

const worldPackage = (version: string, of: WorldTable): Promise<string> =>
  writeWorld(join(folder, `world-${version}`), {
    name: "roads",
    version,
    hardwareClass: "generic",
    metrics: {},
    lineage: {},
    table: of,
  });

function context(fields: object): void {
  const file = join(folder, "context.json");
  writeFileSync(`${file}.next`, JSON.stringify(fields));
  renameSync(`${file}.next`, file);
}

async function start(): Promise<Running> {
  const agent = await startAgentProcess({
    folder,
    deviceId: DEVICE,
    mqttUrl: broker.url,
    package: join(folder, "full"),
    cameras: `{ id: front, kind: sheet, sheets: ${at("samples/cifar10-test")}, fps: 10 }`,
    more: `models: { registry: "${registry.url}", root: ${join(folder, "root.json")} }
world: { package: ${join(folder, "world-0.0.0")}, context: { file: ${join(folder, "context.json")} }, everyMs: 50, ageMsMax: 60000 }`,
  });
  children.push(agent.child);
  return agent;
}

type WorldStatus = {
  readonly model: { readonly digest: string };
  readonly weight: number;
  readonly truths: number;
  readonly unusable: { readonly code: string } | null;
  readonly update: { readonly phase: string; readonly code: string } | null;
};
const worldOf = async ({ http }: Running): Promise<WorldStatus> =>
  ((await (await fetch(`${http}/v1/status`)).json()) as { readonly world: WorldStatus }).world;
const predictions = () =>
  broker.received
    .filter(({ topic }) => topic === topics.up(DEVICE, "predictions"))
    .flatMap(({ payload }) => {
      const { bootId, predictions: own } = EdgePredictions.decodeSingleObject(payload);
      return own.map((one) => ({ ...one, bootId }));
    });
const reported = () =>
  broker.received
    .filter(({ topic }) => topic === topics.up(DEVICE, "reported"))
    .map(({ payload }) => DeviceReported.decodeSingleObject(payload));
const park = ({ http }: Running, parked: boolean) =>
  fetch(`${http}/v1/conditions`, { method: "POST", headers: json, body: JSON.stringify({ parked }) });

async function want(generation: number, version: string, modelDigest: string, probationFrames = 5): Promise<void> {
  const desired: DeviceDesired = {
    deviceId: DEVICE,
    generation: BigInt(generation),
    slots: {
      // Whatever is wanted: a world model is applied while parked.
      world: {
        modelName: "roads",
        modelVersion: version,
        modelDigest,
        shadowFrames: 0,
        probationFrames,
        condition: "ANY",
        windows: [],
      },
    },
    policyVersion: null,
    arm: "default",
    rollout: "r-1",
    why: "a test",
    changedAt: 0,
  };
  await broker.publish(topics.desired(DEVICE), DeviceDesired.encodeSingleObject(desired), true);
}

/** The cloud answers every frame with this class. */
async function cloudAnswers(
  label: string,
  agent: Running,
  isEnd: (status: WorldStatus) => boolean,
): Promise<WorldStatus> {
  const answered = new Set<string>();
  for (let i = 0; i < 400; i++) {
    const status = await worldOf(agent);
    if (isEnd(status)) return status;
    for (const { bootId, cameraId, frameSeq } of predictions()) {
      if (answered.has(`${frameSeq}`)) continue;
      answered.add(`${frameSeq}`);
      const answer = someAnswer({ cameraId, frameSeq, label, source: "CLOUD", sampleDrawn: true });
      const payload = Classifications.encodeSingleObject({ deviceId: DEVICE, bootId, answers: [answer] });
      await broker.publish(topics.results(DEVICE), payload);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`it did not come about: ${JSON.stringify(await worldOf(agent))}`);
}

test("it is staged while driving, applied when parked, used with a context only, and committed by the truths", async () => {
  context({ at: Date.now(), place: "sea", hour: 9 });
  const agent = await start();
  await until("frames with the first one", predictions, (seen) => seen.some(({ worldDigest }) => worldDigest === flat));
  const digest = await worldPackage("1.0.0", table({ cells: { "": only("ship"), sea: only("ship") } }));
  await registry.add(join(folder, "world-1.0.0"));
  await want(1, "1.0.0", digest);
  await until(
    "a staged one",
    () => worldOf(agent),
    ({ update }) => update?.code === "condition-parked",
  );
  expect((await worldOf(agent)).model.digest).toBe(flat);
  await park(agent, true);
  await until("frames with the next one", predictions, (seen) =>
    seen.some(({ worldDigest }) => worldDigest === digest),
  );
  await park(agent, false);
  const status = await cloudAnswers("ship", agent, ({ update }) => update?.phase === "COMMITTED");
  expect(status.model.digest).toBe(digest);
  expect(status.weight).toBeGreaterThan(0.9);
  await until("the report", reported, (all) => all.at(-1)?.update?.phase === "COMMITTED");
  expect(reported().at(-1)).toMatchObject({ slots: { world: { modelDigest: digest } }, update: { slot: "world" } });

  const before = predictions().length;
  context({ at: Date.now() - 3_600_000, place: "sea", hour: 9 });
  await until("frames without", predictions, (seen) =>
    seen.slice(before).some(({ worldDigest, context }) => worldDigest === null && context === null),
  );
  expect((await worldOf(agent)).unusable?.code).toBe("context-old");
  context({ at: Date.now(), place: "sea", hour: 99 });
  await until(
    "a value that cannot be",
    () => predictions().at(-1),
    (last) => last?.context === '{"hour":99,"place":"sea"}' && last.worldDigest === null,
  );
  expect((await worldOf(agent)).unusable?.code).toBe("context-invalid");
  context({ at: Date.now(), place: "sea", hour: 20 });
  await until(
    "frames with it again",
    () => predictions().at(-1),
    (last) => last?.worldDigest === digest,
  );
});

test("one that makes the truths less likely is reverted; one of other classes is refused", async () => {
  context({ at: Date.now(), place: "sea", hour: 9 });
  const agent = await start();
  const poisoned = await worldPackage("1.0.1", table({ cells: { "": only("frog") } }));
  await registry.add(join(folder, "world-1.0.1"));
  await want(1, "1.0.1", poisoned, 50);
  await until(
    "a staged one",
    () => worldOf(agent),
    ({ update }) => update?.code === "condition-parked",
  );
  // A signal that flaps applies it while parked, or not at all: whatever answers when the drive starts, answers during it.
  for (let flap = 0; flap < 10; flap++) {
    await park(agent, true);
    await park(agent, false);
    const atStart = await worldOf(agent);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const meanwhile = await worldOf(agent);
    expect([flap, meanwhile.model.digest]).toEqual([flap, atStart.model.digest]);
  }
  await park(agent, true);
  await until("frames with it", predictions, (seen) => seen.some(({ worldDigest }) => worldDigest === poisoned));
  const status = await cloudAnswers("ship", agent, ({ update }) => update?.phase === "REVERTED");
  expect(status).toMatchObject({ model: { digest: flat }, update: { code: "world-worse" } });

  const other = await worldPackage("1.0.2", table({ labels: cifarLabels.map((label) => `${label}s`) }));
  await registry.add(join(folder, "world-1.0.2"));
  await want(2, "1.0.2", other);
  await until(
    "the refusal",
    () => worldOf(agent),
    ({ update }) => update?.phase === "REFUSED" && update.code === "world-labels-differ",
  );
});
