/** Labels as people give them: files of every kind with bad lines between good ones, against a real gateway and Kafka. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type GroundTruth, type Topic, topics } from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink, KafkaReader, readTopic } from "@tributary/kafka";
import {
  type SpawnedService,
  someAnswer,
  someBootId,
  someFrame,
  somePolicy,
  spawnService,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";
import { runHere } from "./run.test-kit.ts";

const kafka = { ...testKafka(), clientId: "cli-labels-test" };
const dir = tempDir("cli-labels");
const sink = new KafkajsSink(kafka);
const reader = new KafkaReader(kafka);
const frame = (seq: number) => `cam-01:${someBootId}:cam:${seq}`;
const FRAMES = 600;
let gateway: SpawnedService;
let url: string;

const tributary = (args: readonly string[], gatewayUrl = url) => runHere(args, { TRIBUTARY_GATEWAY: gatewayUrl });
const put = <T>(topic: Topic<T>, key: string, value: T) =>
  sink.send([{ topic: topic.name, key, value: topic.codec.encodeConfluent(value) }]);

async function groundTruth(): Promise<GroundTruth[]> {
  const { name, codec } = topics.groundTruth;
  const found: GroundTruth[] = [];
  for await (const { value } of readTopic(reader, name)) if (value !== null) found.push(codec.decodeConfluent(value));
  return found;
}
const file = (name: string, text: string): string => {
  const path = join(dir.path, name);
  writeFileSync(path, text);
  return path;
};

beforeAll(async () => {
  const admin = new KafkajsAdmin(kafka);
  await ensureTributaryTopics(admin, { partitions: 2 });
  await admin.close();
  await put(topics.policies, "policy", somePolicy());
  await put(topics.frames, "cam-01", someFrame({ deviceId: "cam-01", frameSeq: 2n }));
  const answers = Array.from({ length: FRAMES }, (_, i) => someAnswer({ frameSeq: BigInt(i + 1) }));
  answers[1] = someAnswer({ frameSeq: 2n, sampleDrawn: true });
  answers[2] = someAnswer({ frameSeq: 3n, edgeLabel: "cat", cloudLabel: "dog", label: "dog", source: "CLOUD" });
  await put(topics.classifications, "cam-01", { deviceId: "cam-01", bootId: someBootId, answers });
  const config = { kafka: { brokers: kafka.brokers, prefix: kafka.prefix }, http: { host: "127.0.0.1", port: 0 } };
  gateway = await spawnService({ name: "gateway", main: "services/gateway/dist/main.js", dir: dir.path, config });
  url = `http://127.0.0.1:${gateway.ports.http}`;
});

afterAll(async () => {
  await gateway.stop();
  await Promise.all([sink.close(), reader.close()]);
  dir.remove();
});

test("labels next lists frames to label and saves pictures; labels set stores a label", async () => {
  const pictures = join(dir.path, "pictures");
  const { code, text } = await tributary(["labels", "next", "--save", pictures]);
  expect(code).toBe(0);
  const rows = text.split("\n");
  expect(rows[1]).toMatch(new RegExp(`^${frame(2)} +SAMPLE +cat 0.90 .*\\.2\\.jpg$`));
  expect(rows[2]).toMatch(new RegExp(`^${frame(3)} +DISAGREEMENT +cat 0.90 +dog +dog +gone$`));
  const names = readdirSync(pictures);
  expect(names).toHaveLength(1);
  expect(readFileSync(join(pictures, names[0] as string)).subarray(0, 2)).toEqual(Buffer.from([0xff, 0xd8]));

  expect(await tributary(["labels", "set", names[0] as string, "frog", "--comment", "green"])).toMatchObject({
    code: 0,
  });
  expect(await tributary(["labels", "set", frame(3), "--none"])).toMatchObject({ code: 0 });
  expect(await groundTruth()).toMatchObject([
    { frameSeq: 2n, label: "frog", source: "PERSON", labelledBy: "ada", comment: "green" },
    { frameSeq: 3n, label: null },
  ]);
  expect((await tributary(["labels", "next"])).text).toContain("No frames to label");
  for (const [args, code, expected] of [
    [["labels", "set", frame(9999), "cat"], 3, "frame-unknown"],
    [["labels", "set", frame(4), "Cat "], 1, 'Did you mean "cat"?'],
    [["labels", "set", "nonsense", "cat"], 2, "not a frame id"],
    [["labels", "set", frame(4)], 2, "--none"],
  ] as const) {
    expect(await tributary(args)).toMatchObject({ code, text: expect.stringContaining(expected) });
  }
});

test("labels import: each bad line is reported and counted, good ones are imported, repeating is safe", async () => {
  const lines = ["frameId,label,labelledBy"];
  for (let seq = 10; seq < 10 + 300; seq++) lines.push(`${frame(seq)},cat,bob`);
  lines[50] = "nonsense,cat,bob";
  lines[60] = `${frame(70)},zebra,bob`;
  lines[70] = `${frame(99_999)},cat,bob`;
  lines[80] = `${frame(90)},"cat,bob`;
  const csv = file("labels.csv", `${lines.join("\n")}\n`);
  const before = (await groundTruth()).length;

  const dry = await tributary(["labels", "import", csv, "--dry-run"]);
  expect(dry.text).toContain("296 would be imported, 0 stored already, 0 without a label, 4 bad");
  expect(await groundTruth()).toHaveLength(before);
  const { code, text } = await tributary(["labels", "import", csv]);
  expect(code).toBe(5);
  for (const [line, reason] of [
    [51, "frame-id-malformed"],
    [61, "label-unknown"],
    [71, "frame-unknown"],
    [81, "line-unreadable"],
  ]) {
    expect(text).toMatch(new RegExp(`^${csv}:${line}: .*\\(${reason}\\)$`, "m"));
  }
  expect(text).toContain("296 imported, 0 stored already, 0 without a label, 4 bad");
  expect(text).toContain("4 lines were rejected: ");
  expect(await groundTruth()).toHaveLength(before + 296);

  const again = await tributary(["labels", "import", csv, "-o", "json", "--allow-unknown"]);
  expect(again.text).toMatch(/"accepted": 1,\s+"repeated": 296,\s+"unchecked": 1/);
  const rest = await tributary(["labels", "import", csv, "--from", "300", "--dry-run"]);
  expect(rest).toMatchObject({ code: 0, text: expect.stringContaining("2 stored already") });
});

test("labels import: JSONL and Label Studio by their content, and files that are neither", async () => {
  const jsonl = [{ frameId: frame(500), label: "ship", labelledAt: "2026-01-01T00:00:00Z" }, "{"];
  const path = file("a.txt", jsonl.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
  expect(await tributary(["labels", "import", path, "--source", "measurement"])).toMatchObject({ code: 5 });
  const annotations = [{ result: [{ type: "choices", value: { choices: ["truck"] } }], completed_by: 4 }];
  const picture = `/data/upload/1/0a1b2c3d-${frame(501).replaceAll(":", ".")}.jpg`;
  const tasks = [
    { data: { image: picture }, annotations, project: 9 },
    { data: { image: "x" }, annotations: [] },
  ];
  const studio = await tributary(["labels", "import", file("b", JSON.stringify(tasks)), "--label-set", "unused"]);
  expect(studio).toMatchObject({
    code: 0,
    text: expect.stringContaining("1 imported, 0 stored already, 1 without a label"),
  });
  expect((await groundTruth()).filter(({ frameSeq }) => frameSeq >= 500n && frameSeq < 510n)).toMatchObject([
    { label: "ship", source: "MEASUREMENT", labelledAt: Date.parse("2026-01-01T00:00:00Z") },
    { label: "truck", source: "IMPORT", labelledBy: "user 4", labelSet: "label-studio project 9" },
  ]);
  expect(await tributary(["labels", "import", file("c", "a,b\n1,2\n")])).toMatchObject({
    code: 1,
    text: expect.stringContaining("no column"),
  });
  expect((await tributary(["labels", "import", join(dir.path, "none")])).text).toContain("ENOENT");
});

test("labels import: a gateway that cannot store now is retried, and reported with the line if that lasts", async () => {
  let calls = 0;
  const refuse = (code: string) => JSON.stringify({ code, detail: "Not now.", advice: "retry" });
  const flaky = createServer((request, response) => {
    request.resume().on("end", () => {
      calls++;
      const fails = calls === 1 || calls > 2;
      response.writeHead(fails ? 503 : 200, { "content-type": "application/json" });
      response.end(
        fails ? refuse("search-busy") : JSON.stringify({ accepted: 1_000, repeated: 0, unchecked: 0, refused: [] }),
      );
    });
  });
  await new Promise<void>((done) => flaky.listen(0, "127.0.0.1", done));
  try {
    const lines = Array.from({ length: 1_010 }, (_, i) => JSON.stringify({ frameId: frame(i + 1), label: "cat" }));
    const gatewayUrl = `http://127.0.0.1:${(flaky.address() as AddressInfo).port}`;
    const path = file("flaky.jsonl", lines.join("\n"));
    const { code, text } = await tributary(["labels", "import", path], gatewayUrl);
    expect(code).toBe(1);
    expect(text).toContain("1000 labels are stored. Continue with --from 1001");
    expect(calls).toBe(2 + 6);
  } finally {
    flaky.closeAllConnections();
    await waitFor(() => new Promise<boolean>((done) => flaky.close(() => done(true))), { what: "the server to end" });
  }
});
