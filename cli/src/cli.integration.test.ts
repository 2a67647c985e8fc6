/** The CLI against a real gateway on a real Kafka: as people run it where it waits, is interrupted or exits, else in this process. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { type Topic, topics } from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink } from "@tributary/kafka";
import {
  type SpawnedService,
  someAnswer,
  someBootId,
  someDriftVerdict,
  someFrame,
  somePolicy,
  somePrediction,
  somePredictions,
  someReported,
  someResult,
  spawnProcess,
  spawnService,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";
import { parse } from "yaml";
import { runHere } from "./run.test-kit.ts";

const kafka = { ...testKafka(), clientId: "cli-test" };
const dir = tempDir("cli");
const sink = new KafkajsSink(kafka);
const policy = somePolicy();
const frameId = `cam-01:${someBootId}:cam:7`;
let gateway: SpawnedService;
let url: string;

const start = (...args: string[]) =>
  spawnProcess({ name: "cli", main: "cli/dist/main.js", args, env: { TRIBUTARY_GATEWAY: url } });

const tributary = async (...args: string[]) => {
  const { code, text } = await runHere(args, { TRIBUTARY_GATEWAY: url });
  return { code, text };
};
const put = <T>(topic: Topic<T>, value: T) =>
  sink.send([{ topic: topic.name, key: "cam-01", value: topic.codec.encodeConfluent(value) }]);

beforeAll(async () => {
  const admin = new KafkajsAdmin(kafka);
  await ensureTributaryTopics(admin, { partitions: 2 });
  await admin.close();
  const identity = { deviceId: "cam-01", frameSeq: 7n };
  const escalated = somePrediction({ frameSeq: 7n, reason: "AMBIGUOUS", escalation: "QUEUED" });
  await put(topics.policies, policy);
  await put(topics.predictions, somePredictions({ deviceId: "cam-01", predictions: [escalated] }));
  await put(topics.frames, someFrame(identity));
  await put(topics.results, someResult(identity));
  await put(topics.classifications, {
    deviceId: "cam-01",
    bootId: someBootId,
    answers: [
      someAnswer({
        frameSeq: 7n,
        label: "dog",
        source: "CLOUD",
        reason: "AMBIGUOUS",
        settledBy: "CLOUD_ANSWER",
        cloudTarget: "default",
        admission: { lambda: 0.0125, utility: 0.4, reachProbability: 0.99, tokens: 31 },
      }),
    ],
  });
  gateway = await spawnService({
    name: "gateway",
    main: "services/gateway/dist/main.js",
    dir: dir.path,
    config: { kafka: { brokers: kafka.brokers, prefix: kafka.prefix }, http: { host: "127.0.0.1", port: 0 } },
  });
  url = `http://127.0.0.1:${gateway.ports.http}`;
});

afterAll(async () => {
  await gateway.stop();
  await sink.close();
  dir.remove();
});

describe("tributary", () => {
  test("registers, lists, describes and revokes devices", async () => {
    expect((await tributary("get", "devices")).text).toContain("tributary devices register ID");
    const registered = await tributary("devices", "register", "cam-01", "--hardware-class", "rpi5", "--site", "gate");
    expect(registered).toMatchObject({ code: 0, text: expect.stringMatching(/Password: \S{30,}/) });
    expect(await tributary("devices", "register", "cam-01")).toMatchObject({
      code: 1,
      text: expect.stringContaining("device-exists"),
    });
    const table = (await tributary("get", "devices", "--no-color")).text.split("\n");
    expect(table[0]).toMatch(/^DEVICE +STATUS +HARDWARE +SITE +MODEL +SEEN +THROTTLED$/);
    expect(table[1]).toMatch(/^cam-01 +ACTIVE +rpi5 +gate +- +\d+s +-$/);
    expect((await tributary("get", "devices", "-o", "name")).text).toBe("cam-01");
    expect(JSON.parse((await tributary("-o", "json", "get", "devices")).text)).toMatchObject([{ site: "gate" }]);
    expect(parse((await tributary("describe", "device", "cam-01", "-o", "yaml")).text).status).toBe("ACTIVE");
    expect(await tributary("devices", "revoke", "cam-01")).toMatchObject({ code: 0 });
    expect((await tributary("describe", "devices", "cam-01")).text).toContain("REVOKED");
    const password = await tributary("devices", "register", "cam-02", "--password-only");
    expect(password).toMatchObject({ code: 0, text: expect.stringMatching(/^\S{30,}$/) });
  });

  test("labels devices, and checks what they report of their golden frames", async () => {
    await tributary("devices", "register", "cam-03", "--label", "lens=acme-1", "--label", "rack=7");
    const labelled = await tributary("devices", "label", "cam-03", "lens=acme-2", "rack-");
    expect(labelled).toEqual({ code: 0, text: "cam-03 is labelled: lens=acme-2" });
    expect(await tributary("devices", "label", "cam-03", "lens")).toMatchObject({
      code: 2,
      text: expect.stringContaining("KEY- to remove"),
    });
    const golden = { at: Date.now(), modelDigest: "ab".repeat(32), frames: 8, failed: 0, logits: [] };
    const reports = (more: object) =>
      sink.send([
        {
          topic: topics.reported.name,
          key: "cam-03",
          value: topics.reported.codec.encodeConfluent(
            someReported({ deviceId: "cam-03", golden: { ...golden, ...more } }),
          ),
        },
      ]);
    await reports({});
    const check = start("devices", "check", "cam-03", "--wait", "-o", "json");
    const requested = async () =>
      JSON.parse((await tributary("describe", "device", "cam-03", "-o", "json")).text).checkRequestedAt !== null;
    await waitFor(requested, { what: "the request" });
    await reports({ at: golden.at + 1, failed: 3 });
    const { code } = await check.exited;
    expect([code, check.lines().at(-1)]).toEqual([1, expect.stringContaining("cam-03 did not pass")]);
    expect(check.lines().join("\n")).toContain('"failed": 3');
  });

  test("lists, describes and explains verdicts of drift, and writes the page of one", async () => {
    expect(await tributary("drift", "list", "--exit-code")).toMatchObject({ code: 0 });
    const watch = start("drift", "list", "-w", "--every", "0.2", "--exit-code");
    await put(topics.driftVerdicts, someDriftVerdict());
    expect([(await watch.exited).code, watch.lines().at(-1)]).toEqual([6, expect.stringContaining("1 verdict.")]);
    const described = await tributary("drift", "describe", "0123", "--no-color");
    for (const part of ["Where      lens=acme-2", "cam-2    front", "channel mean b   0.420", "frog    10 %"]) {
      expect(described.text).toContain(part);
    }
    expect((await tributary("drift", "explain", "0123", "-o", "json")).text).toContain('"isCause": true');
    expect((await tributary("drift", "list", "--cause", "world")).text).toContain("No verdicts");
    expect((await tributary("drift", "explain", "ffff")).code).toBe(3);
    const page = await tributary("drift", "report", "0123", "-o", "-");
    expect([page.code, page.text.startsWith("<!doctype html>")]).toEqual([0, true]);
  });

  test("answers a verdict: corrects it, knows of it until a date, accepts it, withdraws, and counts the answers", async () => {
    const drift = (...args: string[]) => tributary("drift", ...args);
    await put(topics.driftVerdicts, someDriftVerdict());
    await waitFor(async () => (await drift("list")).text.includes("0123"), { what: "the verdict" });
    const refusals = await Promise.all([
      drift("known", "0123", "--until", "soon"),
      drift("known", "0123", "--until", "2020-01-01"),
      drift("correct", "0123", "--cause", "moon"),
      drift("withdraw", "0123"),
      drift("accept", "ffff"),
      drift("reviews"),
      drift("known", "--help"),
    ]);
    expect(refusals.map(({ code }) => code)).toEqual([2, 2, 2, 1, 3, 0, 0]);
    const words = ["a day as 2026-12-01", "is in the past", "expected preprocessing", "nothing to withdraw", "ffff"];
    for (const [i, part] of [...words, "No verdict was answered", "a day (from its start"].entries()) {
      expect(refusals[i]?.text).toContain(part);
    }

    const corrected = await drift("correct", "0123", "--cause", "world", "--note", "new lamps", "-o", "json");
    expect(JSON.parse(corrected.text)).toMatchObject({
      cause: "CAMERA",
      review: { kind: "CORRECT", cause: "WORLD", note: "new lamps", version: 3 },
    });
    expect((await drift("reviews")).text).toMatch(/^FOUND +ANSWER +CAUSE +VERDICTS\nCAMERA +CORRECT +WORLD +1$/m);
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
    expect((await drift("known", "0123", "--until", tomorrow)).text).toContain(`until ${tomorrow}T00:00:00.000Z.`);
    expect(await drift("list", "--exit-code")).toMatchObject({
      code: 0,
      text: expect.stringContaining(`KNOWN until ${tomorrow}`),
    });
    expect((await drift("accept", "0123")).text).toContain("2 cameras learn their baselines anew from now on.");
    expect(JSON.parse((await drift("reviews", "-o", "json")).text)).toEqual([
      { found: "CAMERA", kind: "ACCEPT", cause: null, verdicts: 1 },
    ]);
    expect((await drift("withdraw", "0123", "--note", "too early")).text).toMatch(
      /answer withdrawn by .*: too early\./,
    );
    expect((await drift("list", "--exit-code")).code).toBe(6);
    await put(
      topics.driftVerdicts,
      someDriftVerdict({ version: 4n, state: "CLOSED", closedAt: 1, closedBecause: "its inputs are as before again" }),
    );
    await waitFor(async () => (await drift("list")).text.includes("No verdicts"), { what: "the closed verdict" });
    expect(await drift("accept", "0123")).toMatchObject({
      code: 1,
      text: expect.stringContaining("its inputs are as before again"),
    });
  });

  test("finds a policy by the beginning of its key", async () => {
    expect((await tributary("get", "policies")).text).toContain(policy.modelDigest.slice(0, 12));
    const { code, text } = await tributary("describe", "policy", policy.modelDigest.slice(0, 6));
    expect(code).toBe(0);
    expect(text).toContain("sent as AMBIGUOUS above 0.2");
    expect((await tributary("describe", "policies", "nope")).code).toBe(3);
  });

  test("explains a frame with every number", async () => {
    const { code, text } = await tributary("router", "explain", frameId);
    expect(code).toBe(0);
    for (const part of ["dog by CLOUD", "settled by CLOUD_ANSWER", "scoreMin", "samplePropensity", "P(edge right)"]) {
      expect(text).toContain(part);
    }
    for (const part of ["jpegBytes", "costMicros", "cloud result: ANSWERED", "latencyMs", "deadlineMs", "0.0125"]) {
      expect(text).toContain(part);
    }
    expect(JSON.parse((await tributary("router", "explain", frameId, "-o", "json")).text).answer.label).toBe("dog");
    expect((await tributary("router", "explain", `cam-99:${someBootId}:cam:7`)).code).toBe(3);
  });

  test("tails answers until it has enough, or is interrupted", async () => {
    const tail = start("frames", "tail", "--device", "cam-01", "--count", "2", "-o", "json");
    let frameSeq = 100n;
    await waitFor(
      async () => {
        const answers = [someAnswer({ frameSeq: frameSeq++ })];
        await put(topics.classifications, { deviceId: "cam-01", bootId: someBootId, answers });
        return !tail.alive();
      },
      { what: "the tail to end", everyMs: 100 },
    );
    expect((await tail.exited).code).toBe(0);
    expect(tail.events()).toHaveLength(2);
    const interrupted = start("frames", "tail");
    await waitFor(() => interrupted.lines().length > 0, { what: "the head of the table" });
    expect((await interrupted.kill("SIGINT")).code).toBe(0);
  });

  test.each([
    [["frobnicate"], 2, "unknown command"],
    [["get", "devices", "-o", "xml"], 2, "Allowed choices"],
    [["router", "explain", "x"], 2, "not a frame id"],
    [["describe", "device", "ghost"], 3, "device-unknown"],
    [["get", "devices", "--gateway", "http://127.0.0.1:9"], 4, "TRIBUTARY_GATEWAY"],
    [["--help"], 0, "Exit codes"],
    [["rollout", "promote", "--help"], 0, "--gateway <URL>"],
    [["models", "gate", "--help"], 0, "-o, --output <FORMAT>"],
  ])("%j exits %i and reports why", async (args, code, expected) => {
    const process = start(...args);
    expect((await process.exited).code).toBe(code);
    const text = process.lines().join("\n");
    expect(text).toContain(expected);
    expect(text).not.toMatch(/^ +at /m);
  });
});
