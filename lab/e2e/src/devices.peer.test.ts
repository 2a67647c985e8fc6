/** Devices without our agent: third-party programs get answers to their frames, and none is taken for another. */
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { gatewayClient } from "@tributary/api";
import { dlqOf, topics, uplinkStreams } from "@tributary/contracts";
import { formatFrameId, seededRandom } from "@tributary/kernel";
import {
  bucketInit,
  bucketSettingsOf,
  calibrate,
  decideOnDevice,
  POLICY_FEATURES,
  sampleDraw,
} from "@tributary/routing/device";
import { mains, metricsOf, type Stack, samples, startStack } from "@tributary/stack";
import { recordsIn, repositoryRoot, somePolicy, startProgram, tempDir, testKafka } from "@tributary/testing";
import { debian, python } from "../../../tools/peers.mjs";
import { answerTo } from "./answer-to.ts";
import { deadLettersOf } from "./dead-letters.ts";
import { RawDevice } from "./raw-device.ts";

const PHOTOS = 3;
const examples = join(repositoryRoot, "examples/devices");

describe("given a running stack and two registered devices", () => {
  const dir = tempDir("devices");
  const { brokers, prefix } = testKafka();
  const passwords = new Map<string, string>();
  let stack: Stack;
  let photos: readonly { readonly file: string; readonly label: string }[];

  beforeAll(async () => {
    for (const program of ["mosquitto_pub", "mosquitto_sub", "mosquitto_rr"]) debian(program, "mosquitto-clients");
    python("device");
    photos = await photosIn(dir.path);
    stack = await startStack({
      dir: join(dir.path, "stack"),
      kafka: { brokers, prefix, partitions: 4 },
      // The shell's frames follow each other faster than the 2.5 a second that a device without a model is granted.
      services: { router: { fallback: { perDevicePerSecondMax: 1_000 } } },
    });
    for (const id of ["shell-cam", "python-cam", "avro-cam"]) {
      const credentials = await stack.devices.register(id);
      passwords.set(id, credentials.password);
      // mosquitto_pub tries once, and the bridge may not have read the registration yet.
      await (await RawDevice.connect(stack.mqttUrl, credentials)).close();
    }
  });
  afterAll(async () => {
    await stack?.stop();
    dir.remove();
  });

  const at = () => {
    const { hostname, port } = new URL(stack.mqttUrl);
    return { TRIBUTARY_HOST: hostname, TRIBUTARY_PORT: port };
  };
  const shell = (...args: readonly string[]) =>
    run("sh", [join(examples, "mosquitto_pub/send-photo.sh"), ...args], {
      ...at(),
      TRIBUTARY_DEVICE: "shell-cam",
      TRIBUTARY_PASSWORD: passwords.get("shell-cam") as string,
    });

  test("when mosquitto_pub sends a photo, then it is answered by the cloud, under the id that the script printed", async () => {
    const { code, out, err } = await shell(photo(0).file);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(await answerTo(stack, out.trim())).toMatchObject({ label: photo(0).label, source: "CLOUD" });
  });

  test("when the same photo is sent again, also after the router was killed, then it is the same frame: answered once", async () => {
    await stack.router.kill();
    await shell(photo(0).file);
    await stack.router.start();
    const first = (await shell(photo(0).file)).out.trim();
    const last = (await shell(photo(1).file)).out.trim();
    await answerTo(stack, last);
    expect((await answersOf(brokers, prefix, "shell-cam")).sort()).toEqual([first, last].sort());
  });

  test("when the Python device sends photos, then it prints what each shows", async () => {
    const { TRIBUTARY_HOST: host, TRIBUTARY_PORT: port } = at();
    const files = photos.map(({ file }) => file);
    const send = (password: string, photos: readonly string[]) =>
      run(
        python("device"),
        [join(examples, "python/send_photos.py"), "--device", "python-cam", "--host", host, "--port", port, ...photos],
        { TRIBUTARY_PASSWORD: password },
      );
    const { code, out, err } = await send(passwords.get("python-cam") as string, files);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    for (const { file, label } of photos) expect(out).toContain(`${file}: ${label} (CLOUD, `);
    // Once more, and one photo twice: other frames, all answered.
    const again = await send(passwords.get("python-cam") as string, [...files, photo(0).file]);
    expect(again).toMatchObject({ code: 0, err: "" });
    expect(again.out.split("\n").filter((line) => line.startsWith(`${photo(0).file}: `))).toHaveLength(2);
    const refused = await send("guessed", files);
    expect(refused).toMatchObject({ code: 2, err: expect.stringContaining("the bridge refuses python-cam") });
  });

  test("when a device written from the contract's page sends Avro, then it receives its policy, every frame is in one prediction, and those it sent are answered", async () => {
    const { TRIBUTARY_HOST: host, TRIBUTARY_PORT: port } = at();
    const gateway = gatewayClient({ url: stack.gatewayUrl });
    const [policy] = (await gateway.policies.list()).items;
    const state = join(dir.path, "avro-cam.boots");
    const own = ["--device", "avro-cam", "--host", host, "--port", port, "--state", state];
    const see = (...args: readonly string[]) =>
      run(python("device"), [join(examples, "python/avro_device.py"), ...own, ...args], {
        TRIBUTARY_PASSWORD: passwords.get("avro-cam") as string,
      });
    const files = photos.map(({ file }) => file);
    const decided = await see("--model", policy?.modelDigest as string, ...files);
    expect({ code: decided.code, err: decided.err }).toEqual({ code: 0, err: "" });
    const unaided = await see(photo(1).file); // another boot, without a model
    expect({ code: unaided.code, err: unaided.err }).toEqual({ code: 0, err: "" });
    expect(unaided.out).toContain(`${photo(1).file}: ${photo(1).label} (CLOUD, `);
    const lines = `${decided.out}${unaided.out}`.trim().split("\n");
    const ids = lines.map((line) => line.split(" ").at(-1) as string);
    expect(new Set(ids).size).toBe(PHOTOS + 1);
    const seen = await predictionsOf(brokers, prefix, "avro-cam");
    expect(seen.map(({ frameId }) => frameId).sort()).toEqual([...ids].sort());
    expect(new Set(seen.map(({ policyVersion }) => policyVersion))).toEqual(new Set([policy?.policyVersion, ""]));
    expect((await answersOf(brokers, prefix, "avro-cam")).sort()).toEqual([...ids].sort());
    const device = await gateway.devices.one({ deviceId: "avro-cam" });
    expect(device).toMatchObject({ reported: { agentVersion: "avro_device.py" } });
    for (const { name } of Object.values(uplinkStreams)) {
      expect(await deadLettersOf(brokers, prefix, dlqOf(name, "bridge"))).toEqual([]);
    }
  });

  const mosquitto = (program: string, ...args: readonly string[]) => {
    const { TRIBUTARY_HOST: host, TRIBUTARY_PORT: port } = at();
    const who = ["-i", "shell-cam", "-u", "shell-cam", "-P", passwords.get("shell-cam") as string];
    return run(program, ["-h", host, "-p", port, ...who, "-q", "1", ...args], {});
  };
  const mine = "tributary/v1/shell-cam";
  const payload = (more: object = {}) =>
    JSON.stringify({ image: readFileSync(photo(2).file).toString("base64"), deadlineMs: 9_000, ...more });

  const published: readonly {
    readonly rogue: string;
    readonly topic: string;
    readonly message: () => string;
    readonly reason: string;
    readonly stream: string;
  }[] = [
    {
      rogue: "another's topic",
      topic: "tributary/v1/python-cam/up/frames/json",
      message: payload,
      reason: "topic-of-another-device",
      stream: "frames",
    },
    {
      rogue: "another's id",
      topic: `${mine}/up/frames/json`,
      message: () => payload({ deviceId: "python-cam" }),
      reason: "payload-of-another-device",
      stream: "frames",
    },
    {
      rogue: "malformed",
      topic: `${mine}/up/frames/json`,
      message: () => '{"image": "no',
      reason: "json-malformed",
      stream: "frames",
    },
    {
      rogue: "malformed bytes where Avro is due",
      topic: `${mine}/up/predictions`,
      message: () => "not Avro",
      reason: "framing-unknown",
      stream: "predictions",
    },
    { rogue: "$SYS", topic: "$SYS/broker/x", message: () => "x", reason: "topic-unknown", stream: "unknown" },
  ];

  test.each(published)(
    "when a device publishes $rogue, then it is refused, counted and put aside, and its twin is answered",
    async ({ rogue, topic, message, reason, stream }) => {
      const counter = new RegExp(
        `^tributary_bridge_refused_total\\{code="${reason}",stream="${stream}"\\} (\\d+)`,
        "m",
      );
      const dlq = dlqOf(`edge.${stream}.v1`, "bridge");
      const before = {
        counted: await counted(stack, counter),
        letters: (await deadLettersOf(brokers, prefix, dlq)).length,
      };
      const file = join(dir.path, "payload");
      writeFileSync(file, message());
      expect(await mosquitto("mosquitto_pub", "-t", topic, "-f", file)).toMatchObject({ code: 0 }); // G8
      expect(await counted(stack, counter)).toBe(before.counted + 1);
      const letters = await deadLettersOf(brokers, prefix, dlq);
      expect(JSON.stringify(letters.slice(before.letters).map(({ headers }) => headers))).toContain(reason);

      // mosquitto_rr 2.0 sends files as nothing.
      const twin = payload({ deviceId: "shell-cam", cameraId: rogue.replaceAll(/\W/g, "") });
      const ask = ["-V", "mqttv311", "-t", `${mine}/up/frames/json`, "-e", `${mine}/down/results/json`, "-W", "20"];
      const { code, out } = await mosquitto("mosquitto_rr", ...ask, "-m", twin);
      expect({ code, label: out && JSON.parse(out).label }).toEqual({ code: 0, label: photo(2).label });
    },
  );

  const own = `${mine}/down/results/json`;
  test.each([
    ["#"],
    ["$SYS/#"],
    ["tributary/v1/+/down/#"],
    ["tributary/v1/python-cam/down/results/json"],
    [`${mine}/up/#`],
  ])(
    "when a device subscribes to %s, then it is refused and counted, and its own answers are granted",
    async (filter) => {
      const counter = /^tributary_bridge_subscribes_refused_total (\d+)/m;
      const before = await counted(stack, counter);
      const rogue = await mosquitto("mosquitto_sub", "-E", "-d", "-t", filter);
      expect(rogue.out + rogue.err).toMatch(/Subscribed \(mid: \d+\): 128/);
      expect(await counted(stack, counter)).toBe(before + 1);
      const twin = await mosquitto("mosquitto_sub", "-E", "-d", "-t", own);
      expect(twin.out).toMatch(/Subscribed \(mid: \d+\): 1/);
      expect(twin.code).toBe(0);
    },
  );

  const photo = (i: number) => photos[i] as (typeof photos)[number];

  test("when it decides, then it decides as the agent does: the page's arithmetic is the code's", async () => {
    const random = seededRandom(7);
    const uniform = (from: number, to: number) => from + (to - from) * random();
    const vector = (length: number, scale: number) => Array.from({ length }, () => uniform(-scale, scale));
    const policy = somePolicy({
      labels: ["a", "b", "c"],
      temperature: 1.7,
      features: [...POLICY_FEATURES],
      edgeRight: { bias: 0.3, weights: vector(4, 1), labelBias: vector(3, 0.5) },
      cloudRight: { bias: 0.8, weights: vector(4, 1), labelBias: vector(3, 0.5) },
      priorityLabels: [{ label: "b", confidenceMin: 0.7, weight: 1 }],
      scoreMin: 0.1,
      samplePropensityMin: 0.01,
      sampleBudget: 0.1,
      sampleUncertaintyMean: 0.4,
      escalationShareMax: 0.2,
      burstMs: 2_000,
      priorityReserve: 0.3,
    });
    const key = Buffer.alloc(32, 7);
    let nowMs = 0;
    const frames = Array.from({ length: 400 }, (_, i) => {
      nowMs += i % 50 === 49 ? 6_000 : uniform(20, 300);
      return { logits: vector(3, 4), id: `cam:9:front:${i + 1}`, nowMs };
    });
    let bucket = bucketInit(bucketSettingsOf(policy));
    const expected = frames.map(({ logits, id, nowMs }) => {
      const calibrated = calibrate(logits, policy.temperature);
      const draw = (pi: number) => sampleDraw(createHmac("sha256", key).update(id).digest(), pi);
      const decision = decideOnDevice({ policy, calibrated, externalTrigger: false, draw, bucket, nowMs });
      bucket = decision.bucket;
      return { ...calibrated, ...decision, label: policy.labels[calibrated.labelIndex] as string };
    });
    const file = join(dir.path, "decide.json");
    writeFileSync(file, JSON.stringify({ policy, frames }));
    const script = `import json, sys
sys.path.insert(0, sys.argv[1])
from avro_device import Bucket, decide
given = json.load(open(sys.argv[2]))
bucket = Bucket(given["policy"])
print(json.dumps([decide(given["policy"], bucket, f["logits"], f["id"], bytes([7]) * 32, f["nowMs"]) for f in given["frames"]]))`;
    const { out, err } = await run(python("device"), ["-c", script, join(examples, "python"), file], {});
    expect(err).toBe("");
    const decided = JSON.parse(out) as typeof expected;
    for (const [i, is] of decided.entries()) {
      const shall = expected[i] as (typeof expected)[number];
      for (const name of ["label", "reason", "escalation", "dropReason", "sampleDrawn"] as const) {
        expect([i, name, is[name]]).toEqual([i, name, shall[name]]);
      }
      const numbers = ["confidence", "margin", "entropy", "score", "sampleCorrectness", "samplePropensity"] as const;
      for (const name of numbers) expect(is[name]).toBeCloseTo(shall[name], 9);
    }
    const escalations = new Set(expected.map(({ reason, escalation }) => `${reason} ${escalation}`));
    const all = ["NONE NONE", "SAMPLE QUEUED", "AMBIGUOUS QUEUED", "AMBIGUOUS DROPPED", "PRIORITY QUEUED"];
    expect([...escalations]).toEqual(expect.arrayContaining(all));
  });

  test("the pins of the Python devices are those that this test ran", () => {
    expect(readFileSync(join(examples, "python/requirements.txt"), "utf8")).toBe(
      readFileSync(join(repositoryRoot, "tools/peers/device.txt"), "utf8"),
    );
  });
});

const run = (program: string, args: readonly string[], env: Record<string, string>) =>
  startProgram(program, args, { env }).ended;

/** The first sample photos as files, and what they show. */
async function photosIn(dir: string) {
  const ledger = join(dir, "ledger.jsonl");
  const args = ["--sheets", samples, "--fps", "0", "--frames", String(PHOTOS), "--ledger", ledger];
  const camera = spawn(process.execPath, [mains.sampleCamera, ...args], { stdio: ["pipe", "pipe", "inherit"] });
  const chunks: Buffer[] = [];
  for await (const chunk of camera.stdout) chunks.push(chunk as Buffer);
  const stdout = Buffer.concat(chunks);
  let at = 0;
  return readFileSync(ledger, "utf8")
    .trim()
    .split("\n")
    .map((line, i) => {
      const { bytes, label } = JSON.parse(line) as { bytes: number; label: string };
      const file = join(dir, `photo-${i}.jpg`);
      writeFileSync(file, stdout.subarray(at, at + bytes));
      at += bytes;
      return { file, label };
    });
}

/** The frames of all answers in Kafka: one that was answered twice is listed twice. */
async function answersOf(brokers: readonly string[], prefix: string, deviceId: string): Promise<string[]> {
  const { name, codec } = topics.classifications;
  const frames = (await recordsIn({ brokers, prefix }, name)).flatMap(({ value }) => {
    const record = codec.decodeConfluent(value as Buffer);
    return record.answers.map((answer) => formatFrameId({ ...record, ...answer }));
  });
  return frames.filter((frame) => frame.startsWith(`${deviceId}:`));
}

/** The frames of all of a device's predictions in Kafka, and the policy they were decided by. */
async function predictionsOf(brokers: readonly string[], prefix: string, deviceId: string) {
  const { name, codec } = topics.predictions;
  return (await recordsIn({ brokers, prefix }, name)).flatMap(({ key, value }) => {
    if (key !== deviceId) return [];
    const batch = codec.decodeConfluent(value as Buffer);
    const { policyVersion } = batch;
    return batch.predictions.map((one) => ({ frameId: formatFrameId({ ...batch, ...one }), policyVersion }));
  });
}

async function counted(stack: Stack, line: RegExp): Promise<number> {
  return Number(line.exec(await metricsOf(stack.bridge))?.[1] ?? 0);
}
