/** A whole service process: its exit codes, its ports, and its consumer, on a real Kafka. */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink, KafkaReader, readTopic } from "@tributary/kafka";
import {
  freePort,
  repositoryRoot,
  sabotaged,
  someRequest,
  spawnProcess,
  spawnService,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";

const connection = { ...testKafka(), clientId: "service-test" };
const { brokers, prefix } = connection;
const sink = new KafkajsSink(connection);
const reader = new KafkaReader(connection);
const dir = tempDir("service-kit");
const program = {
  name: "fixture",
  main: "libs/service-kit/src/fixture-service.test-kit.ts",
  dir: dir.path,
  env: {
    NODE_OPTIONS: `--conditions=@tributary/source --import=${pathToFileURL(join(repositoryRoot, "tools/swc-hook.mjs"))}`,
  },
};
const config = { kafka: { brokers, prefix } };
const start = () => spawnService({ ...program, config });

const put = (...values: (bigint | Buffer)[]) =>
  sink.send(
    values.map((value) => ({
      topic: topics.requestsHigh.name,
      key: "device-1",
      value: Buffer.isBuffer(value)
        ? value
        : topics.requestsHigh.codec.encodeConfluent(someRequest({ frameSeq: value })),
    })),
  );

const createTopics = async (of: typeof connection) => {
  const admin = new KafkajsAdmin(of);
  await ensureTributaryTopics(admin, { partitions: 1 }).finally(() => admin.close());
};
beforeAll(() => createTopics(connection));
afterAll(() => Promise.all([sink.close(), reader.close(), dir.remove()]));

test("a wrong configuration: every key named, exit 2, before anything starts (run-service.ts P1)", async () => {
  const wrong = spawnProcess({ ...program, config: { kafka: { broker: [] }, htpt: {}, log: { level: "loud" } } });
  expect(await wrong.exited).toMatchObject({ code: 2 });
  const text = wrong.lines().join("\n");
  for (const key of ["kafka.broker: unknown key", "htpt: unknown key", "log.level: "]) expect(text).toContain(key);
  const help = spawnProcess({ ...program, args: ["--help"] });
  expect([await help.exited, help.lines().join("\n")]).toMatchObject([
    { code: 0 },
    expect.stringContaining("--config FILE"),
  ]);
});

test("started before its topics exist, a process is live and not ready, says why, and is ready soon after, without an exit (run-service.ts P5)", async () => {
  const ours = { ...connection, ...testKafka() };
  const http = { host: "127.0.0.1", port: await freePort() };
  const service = spawnProcess({ ...program, config: { kafka: { brokers, prefix: ours.prefix }, http } });
  const answer = (path: string) => fetch(`http://127.0.0.1:${http.port}/health/${path}`);
  await waitFor(async () => (await answer("live")).ok, { what: "the process to be live" });
  const { problems } = await waitFor(
    async () => {
      const text = await (await answer("ready")).text();
      return text.includes("no such topic") && (JSON.parse(text) as { problems: Record<string, string> });
    },
    { what: "the reason" },
  );
  expect(problems.kafka).toMatch(/^Kafka: no such topic.* tributary topics create .*cloud\.requests\.high\.v1/);
  const waits = service.events().filter(({ event }) => event === "waits_for_kafka");
  expect(waits).toMatchObject([{ level: "warn", reason: problems.kafka }]);

  await createTopics(ours);
  await waitFor(async () => (await answer("ready")).ok, { what: "the process to be ready", timeoutMs: 20_000 });
  expect(service.alive()).toBe(true);
  expect(await service.stop()).toEqual({ code: 0, signal: null });
});

test("batches: retried, poison as dead letters, the rest handled once; its ports; SIGTERM commits and exits 0 (run-service.ts P2, run-service.ts P3, G8)", async () => {
  await put(1n, 2n, Buffer.from("not Avro"), 13n, 14n);
  const service = await start();
  const handled = () => service.events().filter(({ event }) => event === "handled");
  await waitFor(() => handled().some(({ frames }) => frames === "14"), { what: "the batch" });
  expect(handled().map(({ frames }) => frames)).toEqual(["1", "2", "14"]);

  const url = `http://127.0.0.1:${service.ports.http}`;
  const [live, ready, metrics] = await Promise.all(
    ["health/live", "health/ready", "metrics"].map((path) => fetch(`${url}/${path}`)),
  );
  expect([live?.status, ready?.status, await ready?.json()]).toEqual([200, 200, { status: "ready", problems: {} }]);
  const text = (await metrics?.text()) ?? "";
  expect(text).toContain('tributary_batch_retries_total{topic="cloud.requests.high.v1",code="fixture-busy"} 2');
  expect(text).toContain('tributary_kafka_lag_records{group="cloud-classifier",topic="cloud.requests.high.v1"} 0');
  expect(await service.stop()).toEqual({ code: 0, signal: null });

  const dlq = "cloud.requests.high.v1.cloud-classifier.dlq";
  const letters = await Array.fromAsync(readTopic(reader, dlq));
  expect(letters.map(({ headers }) => headers["__connect.errors.exception.class.name"])).toEqual([
    "framing-unknown",
    "unexpected-error",
  ]);
  expect(String(letters[0]?.value)).toBe("not Avro");

  await put(15n);
  const next2 = await start();
  await waitFor(() => next2.events().some(({ event }) => event === "handled"), { what: "the next record" });
  expect(next2.events().filter(({ event }) => event === "handled")).toMatchObject([{ frames: "15" }]);
  await next2.stop();
});

test("its port refuses requests of other sites' pages; its metrics have a port of their own (run-service.ts P7)", async () => {
  const service = await spawnService({ ...program, config: { ...config, http: { metricsPort: 0 } } });
  const { http, metrics } = service.ports;
  const ask = async (path: string, headers: Record<string, string> = {}, init: RequestInit = {}, port = http) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { ...init, headers });
    const text = await response.text();
    return [response.status, text.startsWith("{") ? (JSON.parse(text).code ?? "") : ""];
  };
  expect(await ask("/health/live")).toEqual([200, ""]);
  expect(await ask("/health/live", { origin: "https://evil.example" })).toEqual([403, "site-foreign"]);
  expect(await ask("/", { "content-type": "text/plain" }, { method: "POST", body: "{}" })).toEqual([415, "media-type"]);
  expect(await ask("/", { "content-type": "application/json" }, { method: "POST", body: "{}" })).toEqual([
    413,
    "request-too-large",
  ]);
  expect((await ask("/metrics"))[0]).toBe(404);
  expect(await ask("/metrics", {}, {}, metrics)).toEqual([200, ""]);
  expect(await ask("/metrics", { origin: "https://evil.example" }, {}, metrics)).toEqual([403, "site-foreign"]);
  expect((await ask("/health/live", {}, {}, metrics))[0]).toBe(404);
  const text = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
  expect(text).toContain('tributary_http_refused_total{code="site-foreign"} 2');
  await service.stop();
});

test("a clock that is off against Kafka's: not ready, by how much, and in the metrics (run-service.ts P6)", async () => {
  const port = await freePort();
  const http = { host: "127.0.0.1", port };
  const env = { ...program.env, TRIBUTARY_CLOCK_OFFSET_MS: `${2 * 3_600_000}` };
  const nodeArgs = sabotaged("wrong-clock");
  const service = spawnProcess({ ...program, config: { ...config, http }, nodeArgs, env });
  // Between the server that answers while it waits and its own, nobody listens for a moment.
  const answer = (path: string) =>
    waitFor(() => fetch(`http://127.0.0.1:${port}/${path}`).catch(() => undefined), { what: `an answer of ${path}` });
  await waitFor(() => service.events().some(({ event }) => event === "clock_off"), {
    what: "the clock to be found off",
  });
  await waitFor(async () => (await answer("health/live")).ok, { what: "the process to be live" });
  const ready = await answer("health/ready");
  expect(ready.status).toBe(503);
  expect(await ready.json()).toMatchObject({
    problems: { clock: expect.stringMatching(/^7(199|200)\.\d s ahead of Kafka's; at most 5 s is allowed/) },
  });
  expect(await (await answer("metrics")).text()).toMatch(/tributary_clock_offset_seconds (7199\.\d+|7200(\.\d+)?)\n/);
  expect(await service.stop()).toEqual({ code: 0, signal: null });
});

// Last: what it leaves uncommitted ends every service that comes after it.
test("a failure for a person ends the process with 1, uncommitted (run-service.ts P4)", async () => {
  await put(99n);
  for (let attempt = 0; attempt < 2; attempt++) {
    const service = spawnProcess({ ...program, config });
    expect(await service.exited).toEqual({ code: 1, signal: null });
    expect(service.events()).toContainEqual(
      expect.objectContaining({ event: "service_failed", code: "fixture-broken" }),
    );
  }
});
