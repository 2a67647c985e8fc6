/** A frame's journey, and every kind of bad input between good frames, through the public interfaces of a running stack. */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { gatewayClient } from "@tributary/api";
import { dlqOf, EdgeFrame, EdgePredictions, mqttTopics } from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin } from "@tributary/kafka";
import {
  cloudPackage,
  edgePackage,
  mains,
  metricsOf,
  type Stack,
  seriesOf,
  startStack,
  tributary,
  untilAnswered,
  verify,
} from "@tributary/stack";
import { spawnProcess, tempDir, testKafka, waitFor } from "@tributary/testing";
import { answerTo } from "./answer-to.ts";
import { type DeadLetter, deadLettersOf } from "./dead-letters.ts";
import { RawDevice } from "./raw-device.ts";

const DEVICES = 2;
const FRAMES = 120;

describe("given a running stack", () => {
  const dir = tempDir("journey");
  const { brokers, prefix } = testKafka();
  let stack: Stack;
  let device: RawDevice;

  beforeAll(async () => {
    stack = await startStack({
      dir: dir.path,
      kafka: { brokers, prefix, partitions: 4 },
      agents: { count: DEVICES, frames: FRAMES },
      drift: {},
    });
    device = await RawDevice.connect(stack.mqttUrl, await stack.devices.register("raw-device"));
  });
  afterAll(async () => {
    await device?.close();
    await stack?.stop();
    dir.remove();
  });

  test("when cameras show frames, then each gets exactly one final answer and most sent ones the cloud's", async () => {
    expect(await untilAnswered(stack, FRAMES, { silenceMsMax: 30_000 })).toBe(true);
    const { report } = await verify({ ...stack, from: stack.began, ledgers: stack.agents });
    expect(report).toMatchObject({ frames: FRAMES, devices: DEVICES, lost: 0, duplicates: 0, contradictions: 0 });
    expect(report.sent).toBeGreaterThan(0);
    expect(report.cloudShareOfSent).toBeGreaterThan(0.5);
  });

  test("then the gateway has the answers", async () => {
    const { items } = await gatewayClient({ url: stack.gatewayUrl }).classifications.list({ deviceId: "device-1" });
    expect(new Set(items.map(({ deviceId }) => deviceId))).toEqual(new Set(["device-1"]));
  });

  test("then doctor finds nothing wrong, and names what is not deployed", async () => {
    const output = await tributary(stack, "doctor", "--mqtt", stack.mqttUrl, "-o", "json");
    const findings: { check: string; state: string }[] = JSON.parse(output);
    expect(findings.flatMap(({ check, state }) => (state === "ok" ? [] : [`${check}: ${state}`]))).toEqual([
      "consumer frame-archive: skipped",
      "consumer trainer: skipped",
    ]);
    expect(findings.length).toBe(18);
  });

  test("then a frame worth a label gets one, and is not asked for again", async () => {
    const next = async () => JSON.parse(await tributary(stack, "labels", "next", "--limit", "1", "-o", "json"));
    const [{ frameId, answer, classes }] = await next();
    expect(classes).toContain(answer.edgeLabel);
    await tributary(stack, "labels", "set", frameId, answer.edgeLabel);
    expect((await next())[0]?.frameId).not.toBe(frameId);
  });

  const cases: {
    readonly what: string;
    readonly reason: string;
    readonly stream: string;
    readonly send: () => Promise<void>;
  }[] = [
    {
      what: "a corrupt JPEG",
      reason: "jpeg-corrupt",
      stream: "frames",
      send: async () =>
        device.send("frames", EdgeFrame, { ...(await device.frame()), jpeg: Buffer.from("not a JPEG") }),
    },
    {
      what: "a topic of no stream",
      reason: "stream-unknown",
      stream: "unknown",
      send: async () => device.publish(`tributary/v1/${device.deviceId}/up/pictures`, Buffer.from("x")),
    },
    {
      what: "an undecodable payload",
      reason: "framing-unknown",
      stream: "predictions",
      send: async () => device.publish(device.topic("predictions"), Buffer.from("{}")),
    },
    {
      what: "another device's topic",
      reason: "topic-of-another-device",
      stream: "frames",
      send: async () =>
        device.publish(mqttTopics().up("device-1", "frames"), device.bytesOf(EdgeFrame, await device.frame())),
    },
    {
      what: "another device's id",
      reason: "payload-of-another-device",
      stream: "frames",
      send: async () => device.send("frames", EdgeFrame, { ...(await device.frame()), deviceId: "device-1" }),
    },
    {
      what: "an oversized frame",
      reason: "payload-oversized",
      stream: "frames",
      send: async () => device.send("frames", EdgeFrame, { ...(await device.frame()), jpeg: Buffer.alloc(3 << 20, 1) }),
    },
    {
      // Six bytes that ask for an array of 2^60 items.
      what: "a record that would blow up its decoder",
      reason: "record-block-count",
      stream: "predictions",
      send: async () => device.publish(device.topic("predictions"), device.bomb(EdgePredictions)),
    },
  ];

  test.each(cases)(
    "when $what is sent, then it is refused, counted and set aside, and the next frame is answered",
    async ({ reason, stream, send }) => {
      const before = await refusedBy(stack, stream);
      const letters = await deadLettersOf(brokers, prefix, dlqOf(`edge.${stream}.v1`, "bridge"));
      await send(); // Resolves on PUBACK: nothing is refused by silence (G8).
      const letter = await waitFor(
        async () => (await deadLettersOf(brokers, prefix, dlqOf(`edge.${stream}.v1`, "bridge")))[letters.length],
        { what: "the dead letter" },
      );
      expect(codeOf(letter)).toContain(reason);
      const after = await refusedBy(stack, stream);
      expect(sum(after) - sum(before)).toBe(1);
      expect((after[reason] ?? 0) - (before[reason] ?? 0)).toBe(1);

      const frameId = await device.sendValidFrame();
      const answer = await answerTo(stack, frameId);
      expect(["EDGE", "CLOUD"]).toContain(answer.source);
    },
  );
});

describe("given a model that does not match its manifest", () => {
  const dir = tempDir("model");
  afterAll(() => dir.remove());

  test.each([
    ["the agent", "agent", edgePackage],
    ["the cloud-classifier", "classifier", cloudPackage],
  ] as const)("when %s starts with it, then it refuses and names the file", async (_who, main, source) => {
    const broken = join(dir.path, main);
    cpSync(source, broken, { recursive: true });
    const file = join(broken, "model.onnx");
    const bytes = readFileSync(file);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 0xff;
    writeFileSync(file, bytes);
    const { brokers, prefix } = testKafka();
    if (main === "classifier") await createTopics(brokers, prefix);
    const config =
      main === "agent"
        ? {
            deviceId: "device-1",
            dataDir: join(dir.path, "data"),
            mqtt: { url: "mqtt://127.0.0.1:1", password: "x" },
            model: { package: broken },
          }
        : { kafka: { brokers, prefix }, targets: { default: { backend: "onnx", package: broken } } };
    const process = spawnProcess({ name: main, main: mains[main], config, dir: dir.path });
    const timer = setTimeout(() => void process.kill(), 60_000);
    const { code } = await process.exited;
    clearTimeout(timer);
    expect(code).toBeGreaterThan(0);
    expect(process.lines().join("\n")).toMatch(/model\.onnx/);
  });
});

const codeOf = (letter: DeadLetter): string => JSON.stringify(letter.headers);
const sum = (counts: { readonly [code: string]: number }) => Object.values(counts).reduce((a, b) => a + b, 0);

/** The bridge's own counter, by reason. */
async function refusedBy(stack: Stack, stream: string): Promise<{ [code: string]: number }> {
  const refused = [...seriesOf(await metricsOf(stack.bridge))].filter(
    ([series]) => series.startsWith("tributary_bridge_refused_total{") && series.includes(`stream="${stream}"`),
  );
  return Object.fromEntries(refused.map(([series, count]) => [/code="([^"]*)"/.exec(series)?.[1] ?? "", count]));
}

/** A service first waits for its topics. */
async function createTopics(brokers: readonly string[], prefix: string): Promise<void> {
  const admin = new KafkajsAdmin({ brokers, prefix, clientId: "journey" });
  await ensureTributaryTopics(admin, { partitions: 1 });
  await admin.close();
}
