/** `router simulate` and `experiment plan` in this process: logged frames on a real Kafka, or in a file, under several policies. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { type EdgePrediction, type Topic, topics } from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink } from "@tributary/kafka";
import { seededRandom } from "@tributary/kernel";
import {
  someAnswer,
  someBootId,
  somePolicy,
  somePrediction,
  somePredictions,
  someResult,
  tempDir,
  testKafka,
} from "@tributary/testing";
import { runHere } from "./run.test-kit.ts";

const FRAMES = 4_000;
const DEVICES = Array.from({ length: 8 }, (_, i) => `cam-0${i + 1}`);
const kafka = { ...testKafka(), clientId: "simulate-test" };
const dir = tempDir("simulate");
const policy = somePolicy();
/** Sends as much as it may. */
const hybrid = somePolicy({ policyVersion: "cd".repeat(32), scoreMin: -1 });
const file = (name: string) => join(dir.path, name);
const truth = { edge: 0, cloud: 0 };

const simulate = (...args: string[]) => runHere(["router", "simulate", ...args]);
const plan = (...args: string[]) => runHere(["experiment", "plan", "-f", file("experiment.yaml"), ...args]);
const fromKafka = ["--brokers", kafka.brokers.join(","), "--prefix", kafka.prefix];

beforeAll(async () => {
  const admin = new KafkajsAdmin(kafka);
  await ensureTributaryTopics(admin, { partitions: 2 });
  await admin.close();
  const sink = new KafkajsSink(kafka);
  const put = <T>(topic: Topic<T>, key: string, value: T) => ({
    topic: topic.name,
    key,
    value: topic.codec.encodeConfluent(value),
    timestamp: Date.now(),
  });
  await sink.send([put(topics.policies, "policy", policy), put(topics.policies, "hybrid", hybrid)]);
  // Can be named, as can one that is in force.
  const named = somePolicy({ policyVersion: "0".repeat(64), escalationShareMax: 0 });
  await sink.send([named, hybrid].map((one) => put(topics.policyVersions, one.policyVersion, one)));
  const random = seededRandom(5);
  // As many as an interval needs.
  for (const deviceId of DEVICES) {
    const predictions: EdgePrediction[] = [];
    const records = [];
    for (let n = 1; n <= FRAMES / DEVICES.length; n++) {
      const margin = random();
      const isRight = random() < 0.5 + margin / 2;
      const cloudRight = random() < 0.95;
      if (isRight) truth.edge += 1 / FRAMES;
      if (cloudRight) truth.cloud += 1 / FRAMES;
      const drawn = random() < 0.1;
      const frameSeq = BigInt(n);
      predictions.push(somePrediction({ frameSeq, margin, samplePropensity: 0.1, sampleDrawn: drawn }));
      if (!drawn) continue;
      const name = { deviceId, bootId: someBootId, cameraId: "cam", frameSeq };
      // Of those that were sent one in ten was late.
      const isLate = records.length % 30 === 0;
      const final = someAnswer({
        frameSeq,
        settledBy: isLate ? "DEADLINE" : "CLOUD_ANSWER",
        latencyMs: isLate ? 2_000 : 300,
      });
      const label = isRight ? "cat" : "dog";
      const cloudLabel = cloudRight ? label : "bird";
      records.push(
        put(topics.classifications, deviceId, { deviceId, bootId: someBootId, answers: [final] }),
        put(topics.results, deviceId, someResult({ ...name, label: cloudLabel, costMicros: 200n })),
        put(topics.groundTruth, deviceId, {
          ...name,
          label,
          source: "PERSON",
          labelledBy: "",
          labelledAt: Date.now(),
          labelSet: null,
          comment: null,
          frameAt: null,
        }),
      );
    }
    for (let from = 0; from < predictions.length; from += 500) {
      const some = predictions.slice(from, from + 500);
      const batch = somePredictions({ deviceId, seq: BigInt(from + 1), predictions: some });
      records.push(put(topics.predictions, deviceId, batch));
    }
    await sink.send(records);
  }
  await sink.close();
});

afterAll(() => dir.remove());

type Point = { share: number; accuracy: number; lower: number; upper: number; costPer1000: number };

describe("router simulate", () => {
  test("the frontier from Kafka holds the truth, with its cost; the export gives the same", async () => {
    const { code, text } = await simulate(
      ...fromKafka,
      "-o",
      "json",
      "--export",
      file("frames.jsonl"),
      "--plot",
      file("frontier.svg"),
    );
    expect({ code, text }).toMatchObject({ code: 0 });
    const simulation = JSON.parse(text);
    expect(simulation).toMatchObject({ frames: FRAMES, policyVersion: policy.policyVersion, costPerCall: 0.0002 });
    const points = simulation.points as Point[];
    const [none, all] = [points[0], points.at(-1)];
    expect(none).toMatchObject({ share: 0, costPer1000: 0 });
    expect(none?.lower).toBeLessThan(truth.edge);
    expect(none?.upper).toBeGreaterThan(truth.edge);
    expect(all?.lower).toBeLessThan(truth.cloud);
    expect(all?.upper).toBeGreaterThan(truth.cloud);
    expect(all?.costPer1000).toBeCloseTo(0.2, 6);
    expect(readFileSync(file("frontier.svg"), "utf8")).toMatch(/^<svg[\s\S]*<\/svg>\n$/);

    writeFileSync(file("policy.json"), JSON.stringify(policy));
    const again = await simulate("--from", file("frames.jsonl"), "--policy", file("policy.json"), "-o", "json");
    expect(JSON.parse(again.text)).toEqual({ ...simulation, policyVersion: null });
    const table = await simulate("--from", file("frames.jsonl"), "--policy", file("policy.json"));
    expect(table.text).toMatch(/SENT\s+SCORE ABOVE\s+ACCURACY\s+95 % INTERVAL/);
    expect(table.text).toContain("The policy's own threshold 0.2 sends");
  });

  test("an impossible simulation is reported with an exit code", async () => {
    writeFileSync(file("broken.jsonl"), '{"frameId": 1}\n');
    const broken = await simulate("--from", file("broken.jsonl"), "--policy", file("policy.json"));
    expect(broken).toMatchObject({ code: 1, text: expect.stringMatching(/line 1: .*frameId.*modelDigest/s) });
    const [line] = readFileSync(file("frames.jsonl"), "utf8").split("\n");
    const unlabelled = { ...JSON.parse(line ?? ""), truth: null };
    writeFileSync(file("unlabelled.jsonl"), `${JSON.stringify(unlabelled)}\n`);
    const nothing = await simulate("--from", file("unlabelled.jsonl"), "--policy", file("policy.json"));
    expect(nothing).toMatchObject({ code: 1, text: expect.stringContaining("tributary labels next") });
    expect((await simulate("--from", file("frames.jsonl"))).code).toBe(2);
    expect((await simulate(...fromKafka, "--arm", "nobody")).code).toBe(3);
    expect((await simulate("--shares", "2")).code).toBe(2);
  });
});

type Planned = {
  name: string;
  escalated: number;
  late: number;
  p99Ms: number;
  lead: Record<string, number> | null;
  experiment: object;
};

describe("experiment plan", () => {
  const specification = (utility: string, more = "") => `apiVersion: tributary.dev/v1
kind: Experiment
metadata: { name: cloud-or-not }
spec:
  arms:
    - { name: hybrid, policy: ${hybrid.policyVersion.slice(0, 12)} }
    - { name: edge-only, policy: "00000000" }
  utility: { ${utility}, currency: EUR }
  rope: 0.001
${more}`;
  const edgeOnly = ["--policy", `edge-only=${file("edge-only.json")}`];

  beforeAll(() => {
    writeFileSync(file("experiment.yaml"), specification("correct: 1, escalated: 0.05, late: 0.1"));
    writeFileSync(file("edge-only.json"), JSON.stringify({ ...policy, escalationShareMax: 0 }));
  });

  test("names the winner, what each arm sends, and how long an experiment takes; dearer calls flip it", async () => {
    const { code, text } = await plan(...fromKafka, ...edgeOnly, "-o", "json", "--plot", file("arms.svg"));
    expect({ code, text }).toMatchObject({ code: 0 });
    const found = JSON.parse(text);
    expect(found).toMatchObject({ name: "cloud-or-not", frames: FRAMES, devices: 8 });
    expect(found.winner).toEqual({ name: "hybrid", isShown: true, tooLate: [] });
    const [control, edge] = found.arms as [Planned, Planned];
    expect(control).toMatchObject({ name: "hybrid", escalated: 0.3, lead: null, experiment: null });
    expect(control.late).toBeCloseTo(0.03, 2);
    expect(edge).toMatchObject({ name: "edge-only", escalated: 0, late: 0 });
    expect(edge.lead?.upper).toBeLessThan(0);
    expect(control.p99Ms).toBe(2_000);
    expect(readFileSync(file("arms.svg"), "utf8")).toContain("hybrid, p99 2000 ms");

    writeFileSync(file("experiment.yaml"), specification("correct: 1, escalated: 2, late: 0.1"));
    const pushed = await plan(...fromKafka, "-o", "json"); // by version alone
    expect(JSON.parse(pushed.text).arms).toMatchObject([{ escalated: 0.3 }, { name: "edge-only", escalated: 0 }]);
    const dear = await plan(...fromKafka, ...edgeOnly, "--devices", "80", "--labels-per-day", "24");
    expect(dear).toMatchObject({
      code: 0,
      text: expect.stringContaining("Expected winner: edge-only (the labels show it)."),
    });
    expect(dear.text).toMatch(/edge-only .*adopt, about \d+ (hours?|days?)/);
  });

  test("what cannot be planned is refused, with the arm and the fix", async () => {
    writeFileSync(file("experiment.yaml"), specification("correct: 1, escalated: 0.05, late: 0.1"));
    const text = readFileSync(file("experiment.yaml"), "utf8").replace('"00000000"', '"11111111"');
    writeFileSync(file("experiment.yaml"), text);
    const unknown = await plan(...fromKafka);
    expect(unknown).toMatchObject({ code: 3, text: expect.stringContaining("--policy edge-only=FILE") });
    const nobody = await plan(...fromKafka, "--policy", `nobody=${file("edge-only.json")}`);
    expect(nobody).toMatchObject({ code: 2, text: expect.stringContaining("has no such arm, but hybrid, edge-only") });
    writeFileSync(file("slower.json"), JSON.stringify({ ...policy, deadlineMs: 9_000 }));
    const slower = await plan(...fromKafka, "--policy", `edge-only=${file("slower.json")}`);
    expect(slower).toMatchObject({ code: 2, text: expect.stringContaining("hybrid 2000 ms, edge-only 9000 ms") });
    writeFileSync(file("shuffled.json"), JSON.stringify({ ...policy, labels: policy.labels.toReversed() }));
    const other = await plan(...fromKafka, "--policy", `edge-only=${file("shuffled.json")}`);
    expect(other).toMatchObject({ code: 2, text: expect.stringContaining("for the same classes, in one order") });
    const target = await plan(...fromKafka, ...edgeOnly, "--target", "elsewhere", "--model", policy.modelDigest);
    expect(target).toMatchObject({ code: 2, text: expect.stringContaining("is for target default") });
    writeFileSync(
      file("experiment.yaml"),
      specification("correct: 1, escalated: 0.05, late: 0.1", "  latemargin: 1\n"),
    );
    const wrong = await runHere(["experiment", "lint", file("experiment.yaml")]);
    expect(wrong).toMatchObject({
      code: 1,
      text: expect.stringMatching(/:10:3: .*latemargin: unknown field; did you mean lateMargin/),
    });
  });
});
