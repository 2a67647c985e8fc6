/** The whole system with an external schema registry: Apicurio, by Confluent's API. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { gatewayClient } from "@tributary/api";
import { Codec, dlqOf, EdgeFrame, fingerprintOf, topics } from "@tributary/contracts";
import { PlatformaticSink } from "@tributary/kafka";
import { formatFrameId } from "@tributary/kernel";
import { mains, metricsOf, type Stack, shownBy, startStack } from "@tributary/stack";
import { freePort, recordsIn, repositoryRoot, spawnProcess, tempDir, testKafka, waitFor } from "@tributary/testing";
import { apicurio, python } from "../../../tools/peers.mjs";
import { answerTo } from "./answer-to.ts";
import { deadLettersOf } from "./dead-letters.ts";
import { RawDevice } from "./raw-device.ts";

const FRAMES = 80;
/** What any of the calls answers. */
type Answer = {
  readonly id: number;
  readonly schema: string;
  readonly compatibility?: string;
  readonly compatibilityLevel?: string;
};

const MEDIA_TYPE = "application/vnd.schemaregistry.v1+json";

describe("given a stack whose schemas are in Apicurio", () => {
  const dir = tempDir("registry");
  const { brokers, prefix } = testKafka();
  const children: ChildProcess[] = [];
  let url: string;
  let stack: Stack;

  const ask = async (path: string, method = "GET", body?: object) => {
    const response = await fetch(url + path, {
      method,
      headers: { "content-type": MEDIA_TYPE },
      ...(body && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Answer };
  };
  const register = (subject: string, schema: object) =>
    ask(`/subjects/${subject}/versions`, "POST", { schema: JSON.stringify(schema) });

  beforeAll(async () => {
    const port = await freePort();
    url = `http://127.0.0.1:${port}/apis/ccompat/v7`;
    const java = process.env.JAVA_HOME ? join(process.env.JAVA_HOME, "bin/java") : "java";
    const settings = ["-Xmx384m", `-Dquarkus.http.port=${port}`, "-Dquarkus.http.host=127.0.0.1"];
    children.push(spawn(java, [...settings, "-jar", apicurio()], { cwd: dir.path, stdio: "ignore" }));
    // Somebody was there first, so that no id is as in schemas/registry.lock.json.
    await waitFor(async () => (await ask("/subjects")).status === 200, { what: "Apicurio", timeoutMs: 90_000 });
    for (let i = 0; i < 3; i++) await register(`other-${i}`, { type: "fixed", name: `Other${i}`, size: 4 });
    stack = await startStack({
      dir: dir.path,
      kafka: { brokers, prefix, partitions: 4 },
      agents: { count: 2, frames: FRAMES },
      services: { schemaRegistry: { url } },
    });
  });
  afterAll(async () => {
    await stack?.stop();
    for (const child of children) child.kill("SIGKILL");
    dir.remove();
  });

  test("when cameras show frames, then Python reads every final answer by the registry, as the gateway has them", async () => {
    const child = spawn(python("consumers"), [join(repositoryRoot, "examples/consumers/python/answers.py")], {
      env: { PATH: process.env.PATH, BROKERS: brokers.join(","), REGISTRY: url, TOPIC_PREFIX: prefix, GROUP: prefix },
    });
    children.push(child);
    const lines: string[] = [];
    createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
    await waitFor(async () => lines.length >= FRAMES, { what: `${FRAMES} answers in Python`, timeoutMs: 90_000 });
    const found = lines.map((line) => JSON.parse(line) as { frame: string; label: string; source: string });
    const shown = shownBy(stack.agents).map(({ deviceId, boot, n }) => `${deviceId}:${boot}:cam:${n}`);
    expect(found.map(({ frame }) => frame).sort()).toEqual(shown.sort());
    const { classifications } = gatewayClient({ url: stack.gatewayUrl });
    const served = async () => (await classifications.list({ limit: 1_000 })).items;
    const all = async () => (await served()).length >= FRAMES;
    await waitFor(all, { what: "all answers at the gateway" });
    const items = await served();
    const expected = items.map(({ frameId, label, source }) => `${frameId} ${label} ${source}`).sort();
    expect(found.map(({ frame, label, source }) => `${frame} ${label} ${source}`).sort()).toEqual(expected);
  });

  test("then every subject is there under FULL_TRANSITIVE, records have the registry's ids, and the gateway serves the same", async () => {
    for (const topic of Object.values(topics)) {
      const subject = `${prefix}${topic.name}-value`;
      const latest = (await ask(`/subjects/${subject}/versions/latest`)).body;
      expect(JSON.parse(latest.schema)).toEqual(topic.codec.current.schema);
      const { body } = await ask(`/config/${subject}`);
      expect(body.compatibilityLevel ?? body.compatibility).toBe("FULL_TRANSITIVE");
      const ours = await (await fetch(`${stack.gatewayUrl}/subjects/${subject}/versions/latest`)).json();
      expect(ours).toMatchObject({ subject, id: latest.id });
    }
    for (const topic of [topics.predictions, topics.classifications]) {
      const latest = (await ask(`/subjects/${prefix}${topic.name}-value/versions/latest`)).body;
      const ids = new Set((await rawValues(topic.name)).map((value) => value.readInt32BE(1)));
      expect([...ids]).toEqual([latest.id]);
      expect(latest.id).not.toBe(topic.codec.current.id);
    }
  });

  test("when a record names a schema that nobody knows, then it is a dead letter with its bytes, and the next frame is answered", async () => {
    const stranger = Buffer.concat([Buffer.from([0, 0, 9, 9, 9]), Buffer.from("of nobody")]);
    const sink = new PlatformaticSink({ brokers, prefix, clientId: "registry-test" });
    await sink.send([{ topic: topics.results.name, key: "raw-device", value: stranger }]);
    await sink.close();
    const letter = await waitFor(
      async () => (await deadLettersOf(brokers, prefix, dlqOf(topics.results.name, "router")))[0],
      { what: "the dead letter" },
    );
    expect(letter.value).toEqual(stranger);
    expect(JSON.stringify(letter.headers)).toContain("schema-unknown-id");
    const metrics = await metricsOf(stack.router);
    expect(metrics).toMatch(/tributary_schema_registry_lookups_total\{outcome="unknown"\} 1/);
    const device = await RawDevice.connect(stack.mqttUrl, await stack.devices.register("raw-device"));
    const frameId = await device.sendValidFrame();
    expect(await answerTo(stack, frameId)).toMatchObject({ settledBy: "CLOUD_ANSWER" });
    await device.close();
  });

  test("when a device is newer than every service, then they learn its schema, and its frame is answered", async () => {
    const { schema } = EdgeFrame.current;
    const newer = { ...schema, fields: [...schema.fields, { name: "later", type: ["null", "string"], default: null }] };
    const { id } = (await register(`${prefix}edge.frames.v1-value`, newer)).body;
    const version = { version: 99, id, fingerprint: fingerprintOf(newer), schema: newer };
    const codec = new Codec<EdgeFrame & { later: string }>("EdgeFrame", [version]);
    const device = await RawDevice.connect(stack.mqttUrl, await stack.devices.register("newer-device"));
    const frame = await device.frame();
    // The bridge ends the session while it asks; the client connects and sends again.
    await device.send("frames", codec, { ...frame, later: "than you" });
    expect(await answerTo(stack, formatFrameId(frame))).toMatchObject({ settledBy: "CLOUD_ANSWER" });
    await device.close();
    const ids = (await rawValues(topics.frames.name)).map((value) => value.readInt32BE(1));
    expect(ids.filter((one) => one === id)).toHaveLength(1);
  });

  test("when the registry has another schema of ours, then a service does not start, and names it", async () => {
    const other = {
      type: "record",
      name: "EdgeFrame",
      namespace: "tributary.v1",
      fields: [{ name: "x", type: "int" }],
    };
    await register("conflict.edge.frames.v1-value", other);
    const gateway = spawnProcess({
      name: "gateway-conflict",
      main: mains.gateway,
      dir: dir.path,
      config: { kafka: { brokers, prefix: "conflict." }, schemaRegistry: { url } },
    });
    expect((await gateway.exited).code).toBe(1);
    expect(gateway.lines().join("\n")).toMatch(/schema-registry-conflict.*conflict\.edge\.frames\.v1-value version 1/);
    const subjects = (await (await fetch(`${url}/subjects`)).json()) as readonly string[];
    expect(subjects.filter((subject) => subject.startsWith("conflict."))).toHaveLength(1);
  });

  test("when the registry is not there, then a service is live, not ready, and gives the reason", async () => {
    const port = await freePort();
    const gateway = spawnProcess({
      name: "gateway-alone",
      main: mains.gateway,
      dir: dir.path,
      config: {
        kafka: { brokers, prefix },
        http: { host: "127.0.0.1", port },
        schemaRegistry: { url: `http://127.0.0.1:${await freePort()}` },
      },
    });
    const notReady = async () => {
      const response = await fetch(`http://127.0.0.1:${port}/health/ready`);
      return /schema registry.*ECONNREFUSED/.test(await response.text()) && { status: response.status };
    };
    const { status } = await waitFor(notReady, { what: "the reason why it is not ready" });
    expect(status).toBe(503);
    expect((await fetch(`http://127.0.0.1:${port}/health/live`)).status).toBe(200);
    expect(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).toMatch(
      /tributary_schema_registry_failures_total\{code="schema-registry-unavailable"\} [1-9]/,
    );
    expect((await gateway.stop()).code).toBe(0);
  });

  const rawValues = async (topic: string): Promise<readonly Buffer[]> =>
    (await recordsIn({ brokers, prefix }, topic)).flatMap(({ value }) => value ?? []);
});
