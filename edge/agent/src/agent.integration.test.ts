/** The agent as a process: real model, real camera program, real MQTT; through its public doors. */
import { type ChildProcess, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import {
  Classifications,
  DeviceDesired,
  DeviceReported,
  EdgeFrame,
  EdgePredictions,
  mqttTopics,
  RoutingPolicy,
} from "@tributary/contracts";
import { exitFlags } from "@tributary/kernel";
import { completePolicy, parsePolicy } from "@tributary/routing";
import { someDesired } from "@tributary/testing";
import { TinyBroker } from "@tributary/testing/devices";
import { at, MAIN, type Running, startAgentProcess, until } from "./testing/agent-process.ts";

const topics = mqttTopics();
const DEVICE = "cam-01";

let folder: string;
let broker: TinyBroker;
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "tributary-agent-"));
  broker = await TinyBroker.open();
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await broker.close();
  rmSync(folder, { recursive: true, force: true });
});

const start = async (cameras: string, more = "", dataDir = folder): Promise<Running> => {
  const agent = await startAgentProcess({ folder, deviceId: DEVICE, mqttUrl: broker.url, cameras, more, dataDir });
  children.push(agent.child);
  return agent;
};

type Status = {
  readonly frames: number;
  readonly bootId: string | null;
  readonly unreadable: number;
  readonly unrecorded: number;
  readonly sent: Readonly<Record<string, number>>;
  readonly outbox: {
    readonly predictions: number;
    readonly frames: number;
    readonly unacked: number;
    readonly uncommitted: number;
  };
  readonly model: { readonly pid: number; readonly losses: number; readonly digest: string };
  readonly policy: { readonly version: string; readonly from: string };
};
const statusOf = async (agent: Running): Promise<Status> =>
  (await fetch(`${agent.http}/v1/status`)).json() as Promise<Status>;

const upOf = (stream: "frames" | "predictions" | "reported") =>
  broker.received.filter(({ topic }) => topic === topics.up(DEVICE, stream)).map(({ payload }) => payload);
const predictions = () =>
  upOf("predictions").flatMap((payload) => EdgePredictions.decodeSingleObject(payload).predictions);
const isSettled = ({ outbox }: Status) =>
  outbox.predictions + outbox.frames + outbox.unacked + outbox.uncommitted === 0;
const processesOf = (pid: number | undefined): number[] => {
  const listed = execFileSync("ps", ["-e", "-o", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n");
  return listed
    .map((line) => line.trim().split(/\s+/).map(Number))
    .flatMap(([child, parent]) => (parent === pid ? [child as number] : []));
};
const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

test("every frame of the ledger is predicted once, sent ones with their image; triggers, answers and a clean end", async () => {
  const ledger = join(folder, "ledger");
  const agent = await start(
    `{ id: front, kind: sheet, sheets: ${at("samples/cifar10-test")}, fps: 20, frames: 120, ledger: ${ledger} }`,
  );
  const trigger = await fetch(`${agent.http}/v1/trigger`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"cameraId":"front","frames":5}',
  });
  expect(trigger.status).toBe(202);
  const reader = await fetch(`${agent.http}/v1/answers`);
  await until(
    "120 settled frames",
    () => statusOf(agent),
    (s) => s.frames === 120 && isSettled(s),
  );

  const lines = readFileSync(ledger, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const seen = predictions().sort((a, b) => Number(a.frameSeq - b.frameSeq));
  expect(seen.map(({ frameSeq }) => Number(frameSeq))).toEqual(lines.map(({ n }) => n)); // G2
  const frames = upOf("frames").map((payload) => EdgeFrame.decodeSingleObject(payload));
  expect(frames.map(({ frameSeq }) => frameSeq).sort()).toEqual(
    seen
      .filter(({ escalation }) => escalation === "QUEUED")
      .map(({ frameSeq }) => frameSeq)
      .sort(),
  );
  expect(frames.filter(({ reason }) => reason === "PRIORITY").length).toBeGreaterThanOrEqual(5);
  expect(frames.every(({ jpeg, frameSeq }) => jpeg.length === lines[Number(frameSeq) - 1].bytes)).toBe(true);
  expect(lines[0].boot).toBe(String(frames[0]?.bootId));

  const [reported] = upOf("reported").map((payload) => DeviceReported.decodeSingleObject(payload));
  expect(reported).toMatchObject({
    cameras: ["front"],
    policyVersion: EdgePredictions.decodeSingleObject(upOf("predictions")[0] as Buffer).policyVersion,
  });
  expect(reported?.acceptedSchemas).toContain(Classifications.current.fingerprint);

  // A final answer arrives and reaches local readers.
  const { cameraId, frameSeq, bootId } = frames[0] as EdgeFrame;
  await broker.publish(
    topics.results(DEVICE),
    Classifications.encodeSingleObject({ deviceId: DEVICE, bootId, answers: [finalAnswer(cameraId, frameSeq)] }),
  );
  const text = await readUntil(reader, "event: final");
  expect(text).toContain("event: answer");
  expect(text).toContain(`"frameId":"${DEVICE}:${bootId}:${cameraId}:${frameSeq}"`);
  expect(await (await fetch(`${agent.http}/metrics`)).text()).toContain("tributary_agent_frames_total");

  const pids = processesOf(agent.child.pid);
  expect(pids.length).toBeGreaterThan(0);
  agent.child.kill("SIGTERM");
  expect(await agent.exit).toBe(0);
  expect(pids.filter(isAlive)).toEqual([]);
  expect(
    broker.received
      .filter(({ topic }) => topic === topics.availability(DEVICE))
      .map(({ payload, retain }) => [String(payload), retain]),
  ).toEqual([
    ["online", true],
    ["offline", true],
  ]);
});

test("G4: offline it continues to answer, killed it leaves no process, and after the restart nothing is pending", async () => {
  const camera = `{ id: front, kind: sheet, sheets: ${at("samples/cifar10-test")}, fps: 50 }`;
  broker.hold = new Promise(() => undefined); // as the bridge while Kafka is unavailable
  const first = await start(camera);
  await until(
    "60 frames",
    () => statusOf(first),
    ({ frames, outbox }) => frames >= 60 && outbox.unacked > 0,
  );
  // A received policy is in force at once, and after a restart before any message.
  const digest = (await statusOf(first)).model.digest;
  const content = parsePolicy(JSON.parse(readFileSync(at("models/edge-resnet8/policy.json"), "utf8")));
  const tie = { modelDigest: digest, createdAt: 1, sha256Hex: () => "e".repeat(64) };
  const sent = RoutingPolicy.encodeSingleObject(completePolicy({ ...content, deadlineMs: 1_234 }, tie));
  await broker.publish(topics.policy(DEVICE), sent);
  await until(
    "the policy",
    () => statusOf(first),
    ({ policy }) => policy.from === "downlink",
  );
  const { frames: before } = await statusOf(first);
  await until(
    "its commit, with that of the frames that come behind it",
    () => statusOf(first),
    ({ frames, outbox }) => frames - outbox.uncommitted > before + 1,
  );
  const { frames, outbox } = await statusOf(first);
  const pids = processesOf(first.child.pid);
  first.child.kill("SIGKILL");
  await first.exit;
  await until(
    "no orphans",
    () => pids.filter(isAlive),
    (alive) => alive.length === 0,
  );

  broker.hold = Promise.resolve();
  const second = await start("");
  await until("an empty outbox", () => statusOf(second), isSettled);
  expect((await statusOf(second)).policy).toEqual({ version: "e".repeat(64), from: "outbox" });
  await broker.publish(topics.policy(DEVICE), Buffer.alloc(0), true);
  await until(
    "the package's policy",
    () => statusOf(second),
    ({ policy }) => policy.from === "package",
  );
  const seen = new Set(predictions().map(({ frameSeq }) => Number(frameSeq)));
  const expected = Array.from({ length: frames - outbox.uncommitted }, (_, i) => i + 1);
  expect(expected.filter((n) => !seen.has(n))).toEqual([]); // G1
  second.child.kill("SIGTERM");
  expect(await second.exit).toBe(0);
});

test("the arm of its desired state is in the frames that follow, its generation is reported, and its model stays loaded", async () => {
  const agent = await start(
    `{ id: front, kind: sheet, sheets: ${at("samples/cifar10-test")}, fps: 20 }`,
    "arm: site-a",
  );
  const desire = (generation: bigint, arm: string, slots: DeviceDesired["slots"] = {}) => {
    const desired = someDesired({ deviceId: DEVICE, generation, slots, arm });
    return broker.publish(topics.desired(DEVICE), DeviceDesired.encodeSingleObject(desired), true);
  };
  const armsBySeq = () => {
    const arms = new Map<number, string>();
    for (const payload of upOf("predictions")) {
      const { arm, predictions: own } = EdgePredictions.decodeSingleObject(payload);
      for (const { frameSeq } of own) arms.set(Number(frameSeq), arm);
    }
    return arms;
  };
  const lastArm = (arm: string) =>
    until(
      `predictions of ${arm}`,
      () => [...armsBySeq().values()].at(-1),
      (last) => last === arm,
    );
  const reported = (generation: bigint, phase: string | undefined) =>
    until(
      `generation ${generation}`,
      () =>
        upOf("reported")
          .map((payload) => DeviceReported.decodeSingleObject(payload))
          .at(-1),
      (last) => last?.generation === generation && last.update?.phase === phase,
    );
  await lastArm("site-a");
  const { pid, digest } = (await statusOf(agent)).model;
  await desire(5n, "b");
  await lastArm("b");
  await reported(5n, undefined);
  const active = { modelName: "edge-resnet8", modelVersion: "1.0.0", modelDigest: digest };
  const how = { shadowFrames: 10, probationFrames: 10, condition: "ANY" as const, windows: [] };
  await desire(6n, "b", { perception: { ...active, ...how } });
  await reported(6n, "COMMITTED");
  await desire(7n, "b", { perception: { ...active, ...how } });
  await reported(7n, "COMMITTED");
  expect((await statusOf(agent)).model).toMatchObject({ pid, digest, losses: 0 });

  for (const [generation, arm] of [
    [6n, "older"],
    [8n, "two words"],
    [8n, ""],
    [8n, "a".repeat(65)],
  ] as const) {
    await desire(generation, arm);
  }
  const refused = async () => (await fetch(`${agent.http}/metrics`)).text();
  const count = (code: string, n: number) =>
    `tributary_agent_downlink_refused_total{channel="desired",code="${code}"} ${n}\n`;
  await until("the refusals", refused, (text) => text.includes(count("desired-invalid", 3)));
  expect(await refused()).toContain(count("desired-older", 1));

  // Frames that wait in the outbox keep the arm that they were decided under.
  let release = () => {};
  broker.hold = new Promise((resolve) => {
    release = resolve;
  });
  const waiting = await until(
    "predictions that wait",
    () => statusOf(agent),
    ({ outbox }) => outbox.predictions >= 10,
  );
  await desire(8n, "default");
  release();
  await lastArm("site-a");
  await desire(9n, "b");
  await lastArm("b");
  await broker.publish(topics.desired(DEVICE), Buffer.alloc(0), true);
  await lastArm("site-a");
  await until(
    "every prediction",
    () => armsBySeq().size,
    (size) => size > waiting.frames,
  );
  const runs = [...armsBySeq()].sort(([a], [b]) => a - b);
  const changes = runs.filter(([, arm], i) => arm !== runs[i - 1]?.[1]);
  expect(changes.map(([, arm]) => arm)).toEqual(["site-a", "b", "site-a", "b", "site-a"]);
  expect(changes[2]?.[0]).toBeGreaterThan(waiting.frames);
  const frames = upOf("frames").map((payload) => EdgeFrame.decodeSingleObject(payload));
  expect(frames.map(({ frameSeq, arm }) => [Number(frameSeq), arm])).toEqual(
    frames.map(({ frameSeq }) => [Number(frameSeq), armsBySeq().get(Number(frameSeq)) ?? expect.any(String)]),
  );
});

test("G4: without a usable disk it answers, and records as soon as it can; a damaged file is renamed", async () => {
  const dataDir = join(folder, "data");
  writeFileSync(dataDir, "in the way");
  const agent = await start(
    `{ id: front, kind: sheet, sheets: ${at("samples/cifar10-test")}, fps: 30, whenFull: skip }`,
    "",
    dataDir,
  );
  const dark = await until(
    "local answers",
    () => statusOf(agent),
    ({ frames }) => frames >= 10,
  );
  expect(dark).toMatchObject({ bootId: null, unrecorded: dark.frames, outbox: { broken: expect.any(String) } });
  expect((await fetch(`${agent.http}/health/ready`)).status).toBe(503);
  expect((await fetch(`${agent.http}/health/live`)).status).toBe(200);

  const prepared = join(folder, "prepared");
  mkdirSync(prepared);
  writeFileSync(join(prepared, "outbox.sqlite"), Buffer.alloc(20_000, 7));
  rmSync(dataDir);
  renameSync(prepared, dataDir);
  await until(
    "recorded frames",
    () => statusOf(agent),
    ({ frames, unrecorded }) => frames - unrecorded >= 20,
  );
  expect((await fetch(`${agent.http}/health/ready`)).status).toBe(200);
  expect(await (await fetch(`${agent.http}/metrics`)).text()).toMatch(/tributary_agent_outbox_set_aside_total 1/);
  expect(readdirSync(dataDir).some((name) => name.startsWith("outbox.sqlite.damaged-1-"))).toBe(true);
  agent.child.kill("SIGTERM");
  expect(await agent.exit).toBe(0);
  const seen = predictions()
    .map(({ frameSeq }) => Number(frameSeq))
    .sort((a, b) => a - b);
  expect(seen.length).toBeGreaterThanOrEqual(15);
  expect(seen).toEqual(seen.map((_, i) => i + 1)); // G2
  expect(upOf("reported").length).toBeGreaterThan(0);
});

test("a corrupt JPEG is logged and counted, has no number, and the next frame is answered; a killed model is reloaded", async () => {
  const golden = at("models/edge-resnet8/golden");
  const good = readdirSync(golden)
    .filter((name) => name.endsWith(".jpg"))
    .slice(0, 3)
    .map((name) => readFileSync(join(golden, name)));
  const stream = join(folder, "stream.mjpeg");
  const corrupt = Buffer.concat([(good[0] as Buffer).subarray(0, 30), Buffer.from([0xff, 0xd9])]);
  writeFileSync(
    stream,
    Buffer.concat([
      good[0] as Buffer,
      Buffer.from("garbage"),
      Buffer.from([0xff, 0xd8, 0xff, 0xd9]),
      good[1] as Buffer,
      corrupt,
      good[2] as Buffer,
    ]),
  );
  const command = `{ id: pipe, kind: command, command: [cat, ${stream}], restart: never, whenFull: wait }`;
  const agent = await start(command);
  const status = await until(
    "3 frames",
    () => statusOf(agent),
    (s) => s.frames === 3 && isSettled(s),
  );
  expect(status.unreadable).toBeGreaterThanOrEqual(1);
  expect(predictions().map(({ frameSeq }) => Number(frameSeq))).toEqual([1, 2, 3]);
  const metrics = await (await fetch(`${agent.http}/metrics`)).text();
  expect(metrics).toMatch(/tributary_agent_frames_unreadable_total\{camera_id="pipe",code="[a-z-]+"\} [1-9]/);
  expect(metrics).toMatch(/tributary_agent_camera_refused_total\{camera_id="pipe",code="camera-garbage"\} [1-9]/);

  process.kill(status.model.pid, "SIGKILL");
  await until(
    "another model",
    () => statusOf(agent),
    ({ model }) => model.losses === 1 && model.pid !== null && model.pid !== status.model.pid,
  );
  expect((await fetch(`${agent.http}/health/ready`)).status).toBe(200);
});

test("a wrong file is refused with every key named; a damaged package too", async () => {
  const file = join(folder, "bad.yaml");
  writeFileSync(
    file,
    "deviceId: '-x'\ndataDir: /tmp\nmqtt: { url: http://x, password: x }\nmodel: { package: /nowhere }\nsurprise: 1\n",
  );
  const check = (path: string) => {
    try {
      execFileSync(process.execPath, [...exitFlags, MAIN, "--config", path, "--check"], {
        encoding: "utf8",
        stdio: "pipe",
        timeout: 60_000,
        killSignal: "SIGKILL",
      });
      return { code: 0, text: "" };
    } catch (error) {
      const { status, stderr } = error as { status: number; stderr: string };
      return { code: status, text: stderr };
    }
  };
  const bad = check(file);
  expect(bad.code).toBe(2);
  for (const key of ["deviceId", "mqtt.url", "surprise"]) expect(bad.text).toContain(key);
  writeFileSync(
    file,
    `deviceId: x\ndataDir: ${folder}\nmqtt: { url: "mqtt://x", password: x }\nmodel: { package: ${at("models/cloud-vgg")} }\ncameras: [{ id: a, kind: folder, folder: /nowhere }]\n`,
  );
  const second = check(file);
  expect(second.code).toBe(2);
  expect(second.text).toContain("not an edge package");
  expect(second.text).toContain("cameras.0.folder");
});

async function readUntil(response: Response, wanted: string): Promise<string> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  while (!text.includes(wanted) || !text.endsWith("\n\n")) {
    const chunk = await reader?.read();
    if (chunk === undefined || chunk.done) break;
    text += decoder.decode(chunk.value);
  }
  await reader?.cancel();
  return text;
}

const finalAnswer = (cameraId: string, frameSeq: bigint): Classifications["answers"][number] => ({
  cameraId,
  frameSeq,
  label: "cat",
  source: "CLOUD",
  confidence: 0.9,
  reason: "AMBIGUOUS",
  settledBy: "CLOUD_ANSWER",
  edgeLabel: "dog",
  edgeConfidence: 0.5,
  edgeMargin: 0.1,
  score: 0.2,
  cloudLabel: "cat",
  cloudTarget: "default",
  modelDigest: "a".repeat(64),
  policyVersion: "b".repeat(64),
  arm: "default",
  sampleCorrectness: 0.6,
  samplePropensity: 0.1,
  sampleDrawn: false,
  level: "FULL",
  capturedAt: null,
  latencyMs: 120,
  costMicros: 120n,
  traceparent: null,
  admission: null,
});
