/** What operators do when something is wrong: dead letters and doctor, on a real Kafka with a real gateway and bridge. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { CloudRequest, EdgeFrame, frameConfluent, frameSingleObject, type Topic, topics } from "@tributary/contracts";
import {
  DeadLetters,
  ensureTributaryTopics,
  type InRecord,
  KafkajsAdmin,
  KafkajsSink,
  KafkaReader,
  readTopic,
} from "@tributary/kafka";
import {
  type SpawnedService,
  someAnswer,
  someBootId,
  someFrame,
  somePolicy,
  someRequest,
  spawnProcess,
  spawnService,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";
import { runHere } from "./run.test-kit.ts";

const kafka = { ...testKafka(), clientId: "cli-operations-test" };
const dir = tempDir("cli-operations");
const sink = new KafkajsSink(kafka);
const reader = new KafkaReader(kafka);
const servers: Server[] = [];
let gateway: SpawnedService;
let bridge: SpawnedService;
let env: Record<string, string>;

const start = (args: readonly string[]) => spawnProcess({ name: "cli", main: "cli/dist/main.js", args, env });
const tributary = (...args: string[]) => runHere(args, env);
async function asked<T>(...args: string[]): Promise<{ code: number; value: T; text: string }> {
  const { code, text, stdout } = await tributary(...args, "-o", "json");
  return { code, text, value: JSON.parse(stdout) };
}
const put = <T>(topic: Topic<T>, key: string, value: T) =>
  sink.send([{ topic: topic.name, key, value: topic.codec.encodeConfluent(value) }]);

const recordsOf = (topic: string): Promise<InRecord[]> => Array.fromAsync(readTopic(reader, topic));
async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

beforeAll(async () => {
  const admin = new KafkajsAdmin(kafka);
  await ensureTributaryTopics(admin, { partitions: 2 });
  await admin.close();
  await put(topics.policies, "policy", somePolicy());
  const cloud = someAnswer({ source: "CLOUD", settledBy: "CLOUD_ANSWER", cloudTarget: "default" });
  await put(topics.classifications, "cam-01", { deviceId: "cam-01", bootId: someBootId, answers: [cloud] });
  const shared = { kafka: { brokers: kafka.brokers, prefix: kafka.prefix } };
  const http = { host: "127.0.0.1", port: 0 };
  const spawn = (name: string, main: string, more: object) =>
    spawnService({ name, main, dir: dir.path, config: { ...shared, http, ...more } });
  [gateway, bridge] = await Promise.all([
    spawn("gateway", "services/gateway/dist/main.js", {}),
    spawn("bridge", "edge/bridge/dist/main.js", { mqtt: { host: "127.0.0.1", port: 0 } }),
  ]);
  env = {
    TRIBUTARY_GATEWAY: `http://127.0.0.1:${gateway.ports.http}`,
    TRIBUTARY_BROKERS: kafka.brokers.join(","),
    TRIBUTARY_PREFIX: kafka.prefix,
  };
});

afterAll(async () => {
  for (const server of servers) server.close().closeAllConnections();
  await Promise.all([gateway.stop(), bridge.stop()]);
  await Promise.all([sink.close(), reader.close()]);
  dir.remove();
});

describe("dead letters", () => {
  const SOURCE = topics.requestsHigh.name;
  const DLQ = `${SOURCE}.cloud-classifier.dlq`;
  const good = CloudRequest.encodeConfluent(someRequest({ deviceId: "cam-07" }));

  test("are listed, shown, and replayed unchanged; one that would fail again is kept, and nothing loops", async () => {
    expect((await tributary("dlq", "list")).text).toBe("No dead letters.");
    const letter = (value: Buffer, code: string, offset: bigint) => ({
      topic: SOURCE,
      partition: 1,
      offset,
      key: "cam-07",
      value,
      code,
      message: `because of ${code}`,
      headers: { ce_id: `id-${offset}`, traceparent: "00-aa" },
    });
    await new DeadLetters({ sink, group: "cloud-classifier" }).write([
      letter(good, "schema-unknown-id", 17n),
      letter(Buffer.from("not Avro"), "framing-unknown", 18n),
    ]);
    const frame = EdgeFrame.encode(someFrame({ deviceId: "cam-07" }));
    const value = frameSingleObject(EdgeFrame.current.fingerprint, frame);
    const unknown = { code: "schema-unknown-fingerprint", message: "no such schema then" };
    await new DeadLetters({ sink, group: "bridge" }).write([
      { topic: topics.frames.name, key: "cam-07", value, ...unknown },
    ]);

    const listed = await asked<{ name: string; letters: number; codes: object }[]>("dlq", "list");
    expect(listed.value).toMatchObject([
      { name: `${topics.frames.name}.bridge.dlq`, letters: 1, codes: { [unknown.code]: 1 } },
      { name: DLQ, letters: 2, codes: { "framing-unknown": 1, "schema-unknown-id": 1 } },
    ]);
    const shown = await tributary(
      "dlq",
      "show",
      `${kafka.prefix}${DLQ}`,
      "--where",
      "code=framing-unknown",
      "-o",
      "name",
    );
    expect(shown.text).toMatch(new RegExp(`^${DLQ}/\\d@1$`));
    const whole = await tributary("dlq", "show", shown.text);
    for (const part of [
      "because of framing-unknown",
      `${SOURCE}/1@18`,
      "would-fail-again",
      Buffer.from("not Avro").toString("hex"),
      "id-18",
    ]) {
      expect(whole.text).toContain(part);
    }

    expect(await tributary("dlq", "replay", DLQ)).toMatchObject({ code: 2, text: expect.stringContaining("--yes") });
    const dry = await asked<{ replayed: number }>("dlq", "replay", DLQ, "--dry-run");
    expect([dry.code, dry.value]).toMatchObject([5, { replayed: 1, stayed: [{ code: "would-fail-again" }] }]);
    expect(await recordsOf(SOURCE)).toEqual([]);
    const replayed = await tributary("dlq", "replay", DLQ, "--where", "code=schema-unknown-id", "--yes");
    expect(replayed).toMatchObject({ code: 0, text: `1 sent to ${kafka.prefix}${SOURCE}, 0 stay.` });
    const [record, ...others] = await recordsOf(SOURCE);
    expect(others).toEqual([]);
    expect(record).toMatchObject({ key: "cam-07", value: good });
    const from = expect.stringContaining(DLQ);
    expect(record?.headers).toEqual({
      ce_id: "id-17",
      traceparent: "00-aa",
      "tributary.replays": "1",
      "tributary.replayed.from": from,
    });

    // It fails again: the mark prevents another replay.
    const back = { ...letter(good, "unexpected-error", 20n), headers: record?.headers ?? {} };
    await new DeadLetters({ sink, group: "cloud-classifier" }).write([back]);
    const again = await asked<{ replayed: number }>("dlq", "replay", DLQ, "--where", "code=unexpected-error", "--yes");
    expect([again.code, again.value]).toMatchObject([5, { replayed: 0, stayed: [{ code: "replayed-before" }] }]);
    expect(await recordsOf(SOURCE)).toHaveLength(1);

    // A schema that was unknown to the bridge is known by now: the record is framed as the bridge would have done.
    expect(await tributary("dlq", "replay", `${topics.frames.name}.bridge.dlq`, "--yes")).toMatchObject({ code: 0 });
    const { id } = EdgeFrame.versionByFingerprint(EdgeFrame.current.fingerprint);
    expect((await recordsOf(topics.frames.name))[0]).toMatchObject({ key: "cam-07", value: frameConfluent(id, frame) });
  });

  test.each([
    [["dlq", "list", "--brokers", "127.0.0.1:9"], 4, "127.0.0.1:9"],
    [["dlq", "show", "edge.frames.v1"], 2, "not a dead letter topic"],
    [["dlq", "show", `${DLQ}/0@99999`], 3, "There is no letter"],
    [["dlq", "show", DLQ, "--where", "colour=red"], 2, "FIELD=VALUE"],
  ])("%j exits %i and reports why", async (args, code, expected) => {
    expect(await tributary(...args)).toMatchObject({ code, text: expect.stringContaining(expected) });
  });
});

describe("doctor", () => {
  type Findings = { check: string; state: string; detail: string; advice: string }[];
  const doctor = async (...args: string[]) => {
    const mqtt = args.includes("--mqtt") ? [] : ["--mqtt", `mqtt://127.0.0.1:${bridge.ports.mqtt}`];
    const { value, ...rest } = await asked<Findings>("doctor", ...mqtt, ...args);
    return { ...rest, findings: new Map(value.map((finding) => [finding.check, finding])) };
  };

  test("finds what is missing, reports what to do, and bundles it without secrets", async () => {
    const run = join(dir.path, "run");
    mkdirSync(join(run, "logs"), { recursive: true });
    const http = { host: "127.0.0.1", port: bridge.ports.http };
    writeFileSync(join(run, "bridge.yaml"), JSON.stringify({ http, auth: { tokens: ["hunter2"] }, keep: "this" }));
    writeFileSync(join(run, "broken.yaml"), "secret: [hunter2");
    writeFileSync(join(run, "logs", "bridge.log"), '{"password":"hunter2","event":"ready"}\n');
    const bundle = join(dir.path, "bundle.tar.gz");
    const { code, findings } = await doctor("--bundle", bundle, "--collect", run);
    expect(code).toBe(1);
    const states = Object.fromEntries([...findings].map(([check, { state }]) => [check, state]));
    expect(states).toEqual({
      gateway: "ok",
      devices: "warning",
      policies: "ok",
      Kafka: "ok",
      partitions: "ok",
      "topic settings": "ok",
      "topic durability": "ok",
      "consumer router": "failed",
      "consumer cloud-classifier": "failed",
      "consumer drift-monitor": "failed",
      "consumer frame-archive": "skipped",
      "consumer trainer": "skipped",
      "dead letters": "warning",
      "schema registry": "ok",
      MQTT: "ok",
    });
    expect(findings.get("consumer router")?.advice).toContain("start the router");

    execFileSync("tar", ["-xzf", bundle, "-C", dir.path]);
    expect(statSync(bundle).mode & 0o777).toBe(0o600);
    const inside = (name: string) => readFileSync(join(dir.path, "bundle", name), "utf8");
    expect(JSON.parse(inside("findings.json"))).toHaveLength(findings.size);
    expect(JSON.parse(inside("services/bridge/ready.json"))).toMatchObject({ status: "ready" });
    expect(inside("services/gateway/metrics.txt")).toContain("tributary_gateway_devices");
    expect(inside("config/bridge.yaml")).toContain("keep: this");
    expect(inside("not-collected.txt")).toContain("config/broken.yaml");
    const everything = execFileSync("tar", ["-xzOf", bundle], { encoding: "utf8" });
    expect(everything).not.toContain("hunter2");
    expect(everything).toContain('"event":"ready"');
  });

  test("names a registry that is down, answers with a web page, or conflicts; so does schemas check, schema by schema", async () => {
    const subject = `${kafka.prefix}${topics.frames.name}-value`;
    const json = { "content-type": "application/json" };
    const webPage = await serve((_request, response) => response.end("<html>It works!</html>"));
    const failing = await serve((_request, response) => response.writeHead(500).end("no"));
    // As the gateway's, but for one field of one subject.
    const conflicting = await serve(async (request, response) => {
      const answer = await fetch(`${env.TRIBUTARY_GATEWAY}${request.url}`);
      const text = await answer.text();
      const odd = request.url?.includes(`${encodeURIComponent(subject)}/versions/1`) === true;
      response.writeHead(answer.status, json).end(odd ? text.replaceAll('\\"bytes\\"', '\\"int\\"') : text);
    });
    for (const [url, expected, advice] of [
      ["http://127.0.0.1:1", "schema registry", "start it"],
      [failing, "500", "start it"],
      [webPage, "no JSON", "check the URL"],
      [conflicting, `in conflict: ${subject} v1: jpeg: `, "schemas check"],
    ] as const) {
      const { findings } = await doctor("--registry", url);
      expect(findings.get("schema registry")).toMatchObject({
        state: "failed",
        advice: expect.stringContaining(advice),
      });
      expect(`schema registry ${findings.get("schema registry")?.detail}`).toContain(expected);
      expect(findings.get("gateway")?.state).toBe("ok"); // one does not hide another
    }
    const check = (url: string) => tributary("schemas", "check", "--registry", url, "--prefix", kafka.prefix);
    expect(await check("http://127.0.0.1:1")).toMatchObject({ code: 4 });
    expect(await check(webPage)).toMatchObject({
      code: 1,
      text: expect.stringContaining("schema-registry-bad-response"),
    });
    const { code, text } = await check(conflicting);
    expect(code).toBe(1);
    expect(text).toMatch(/cannot read v1 +jpeg: bytes cannot be read from int/);
    expect(text).toMatch(/^edge-predictions +\S+ +[\d,]+ +FULL_TRANSITIVE$/m);
    expect(await check(env.TRIBUTARY_GATEWAY as string)).toMatchObject({
      text: expect.not.stringContaining("incompatible"),
    });
  });

  test("reports a port that is not MQTT, and brokers that are down", async () => {
    const web = (await serve((_request, response) => response.end())).replace("http", "mqtt");
    const { findings } = await doctor("--mqtt", web, "--brokers", "127.0.0.1:9");
    expect(findings.get("MQTT")).toMatchObject({ state: "failed", advice: "check --mqtt" });
    expect(findings.get("Kafka")).toMatchObject({ state: "failed", advice: expect.stringContaining("start Kafka") });
    const none = await asked<Findings>("doctor", "--gateway", "http://127.0.0.1:9", "--mqtt", "mqtt://127.0.0.1:9");
    expect(none.value.filter(({ state }) => state === "failed").map(({ check }) => check)).toEqual(
      expect.arrayContaining(["gateway", "schema registry", "MQTT"]),
    );
  });
});

test("models and topics are got and described; a watch shows what changed until it is stopped", async () => {
  const models = await asked<{ id: string; kind: string }[]>("get", "models");
  const digest = somePolicy().modelDigest;
  expect(models.value).toMatchObject([
    { id: digest, kind: "edge", policies: ["default"] },
    { id: "default", kind: "cloud target", recentAnswers: 1 },
  ]);
  expect((await tributary("describe", "model", digest.slice(0, 8))).text).toContain("airplane");
  expect((await tributary("describe", "model", "zz")).code).toBe(3);
  const listed = await asked<{ name: string; live: { partitions: number } }[]>("get", "topics");
  expect(listed.value.find(({ name }) => name === "classifications.v1")?.live).toMatchObject({
    partitions: 2,
    records: 1,
  });
  expect((await tributary("describe", "topic", `${kafka.prefix}edge.frames.v1`)).text).toMatch(/jpeg +bytes\./);
  expect((await tributary("describe", "topic", "nope")).code).toBe(3);

  const watch = start(["get", "devices", "-w", "--every", "0.2", "-o", "name"]);
  expect(await tributary("devices", "register", "watched-1")).toMatchObject({ code: 0 });
  await waitFor(() => watch.lines().includes("watched-1"), { what: "the device to be shown" });
  expect((await watch.kill("SIGINT")).code).toBe(0);
  expect(watch.lines().filter((line) => line === "watched-1")).toHaveLength(1);
});
