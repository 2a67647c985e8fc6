import { expect, test } from "@jest/globals";
import type { Clock } from "@tributary/kernel";
import { createTelemetry, defineEvent, sending } from "./index.ts";
import type { Level, TelemetryOptions } from "./telemetry.ts";

const refused = defineEvent<{ code: string; bytes: number; seq: bigint }>({
  name: "uplink_refused",
  level: "warn",
  message: (e) => `refused: ${e.code}`,
  counter: [
    { name: "refused_total", help: "Refused", labels: ["code"] },
    { name: "refused_bytes_total", help: "Bytes refused", value: (e) => e.bytes },
  ],
  histogram: { name: "refused_bytes", help: "Size", buckets: [10, 100], labels: ["code"], value: (e) => e.bytes },
});

function started(options: Partial<TelemetryOptions> = {}) {
  let nowMs = 0;
  const clock: Clock = { now: () => 1_700_000_000_000 + nowMs, monotonicMs: () => nowMs, sleep: async () => {} };
  const lines: Record<string, unknown>[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line));
  const telemetry = createTelemetry({ service: "bridge", defaultMetrics: false, clock, write, ...options });
  const metric = async (start: string) =>
    (await telemetry.metrics()).split("\n").filter((line) => line.startsWith(start));
  return { telemetry, lines, metric, pass: (ms: number) => (nowMs += ms) };
}

test("one emit gives one line and every metric of the event (telemetry.ts T1)", async () => {
  const { telemetry, lines, metric } = started();
  telemetry.emit(refused, { code: "wrong-topic", bytes: 40, seq: 2n ** 60n });
  telemetry.emit(refused, { code: "oversized", bytes: 400, seq: 1n });
  expect(lines[0]).toEqual({
    level: "warn",
    time: "2023-11-14T22:13:20.000Z",
    service: "bridge",
    event: "uplink_refused",
    code: "wrong-topic",
    bytes: 40,
    seq: Number(2n ** 60n),
    msg: "refused: wrong-topic",
  });
  expect(lines).toHaveLength(2);
  expect(await metric("refused_total")).toEqual([
    'refused_total{code="wrong-topic"} 1',
    'refused_total{code="oversized"} 1',
  ]);
  expect(await metric("refused_bytes_total")).toEqual(["refused_bytes_total 440"]);
  expect(await metric('refused_bytes_bucket{le="100",code="wrong-topic"}')).toHaveLength(1);
});

test("a number that is none loses its observation, not the caller's work (telemetry.ts T4)", async () => {
  const { telemetry, lines, metric } = started();
  telemetry.emit(refused, { code: "odd", bytes: Number.NaN, seq: 1n });
  telemetry.emit(refused, { code: "odd", bytes: Number.POSITIVE_INFINITY, seq: 1n });
  telemetry.emit(refused, { code: "odd", bytes: -1, seq: 1n });
  telemetry.emit(refused, { code: "odd", bytes: 5, seq: 1n });
  expect(lines).toHaveLength(4);
  expect(await metric("refused_total")).toEqual(['refused_total{code="odd"} 4']);
  expect(await metric("refused_bytes_total")).toEqual(["refused_bytes_total 5"]);
  expect(await metric("refused_bytes_count")).toEqual(['refused_bytes_count{code="odd"} 2']);
});

test("a flood writes a bounded number of lines, reports how many it held back, and counts them all (telemetry.ts T2, G9)", async () => {
  const { telemetry, lines, metric, pass } = started({ linesPerSecondMax: 5 });
  const other = defineEvent<{ n: number }>({ name: "other", level: "info", message: () => "other" });
  for (let second = 0; second < 3; second++) {
    for (let i = 0; i < 1_000; i++) telemetry.emit(refused, { code: "flood", bytes: 1, seq: 0n });
    telemetry.emit(other, { n: second });
    pass(1_000);
  }
  telemetry.close();
  expect(lines.filter(({ event }) => event === "uplink_refused")).toHaveLength(15);
  expect(lines.filter(({ event }) => event === "other")).toHaveLength(3);
  const summaries = lines.filter(({ event }) => event === "suppressed");
  expect(summaries.map(({ suppressedEvent, count }) => [suppressedEvent, count])).toEqual(
    Array(3).fill(["uplink_refused", 995]),
  );
  expect(await metric("refused_total")).toEqual(['refused_total{code="flood"} 3000']);
});

test("one address that floods an event does not hide another's line, and the summary names it (telemetry.ts T2)", () => {
  const { telemetry, lines, pass } = started({ linesPerSecondMax: 20 });
  const define = (name: string) =>
    defineEvent<{ remote: string; deviceId?: string }>({ name, level: "warn", message: () => name });
  const connectRefused = define("connect_refused");
  const from = (remote: string) => lines.filter((line) => line.remote === remote).length;
  for (let i = 0; i < 1_000; i++) telemetry.emit(connectRefused, { remote: "203.0.113.9" });
  telemetry.emit(connectRefused, { remote: "192.0.2.1" });
  expect([from("203.0.113.9"), from("192.0.2.1")]).toEqual([5, 1]);
  // Not even many addresses at once: each new one is reported once a minute, within the table's bound.
  for (let i = 0; i < 10_000; i++) telemetry.emit(connectRefused, { remote: `10.0.0.${i % 200}` });
  telemetry.emit(connectRefused, { remote: "192.0.2.2" });
  expect(from("192.0.2.2")).toBe(1);
  for (let i = 0; i < 100_000; i++) telemetry.emit(connectRefused, { remote: `10.1.${i >> 8}.${i & 255}` });
  expect(lines.length).toBeLessThanOrEqual(20 + 256);
  pass(1_000);
  telemetry.emit(connectRefused, { remote: "192.0.2.1" });
  const summary = lines.find(({ event }) => event === "suppressed");
  expect(summary).toMatchObject({ suppressedEvent: "connect_refused" });
  expect(summary?.most).toEqual(expect.arrayContaining([{ source: "203.0.113.9", count: 995 }]));
  expect(from("192.0.2.1")).toBe(2);
});

test("a device's lines are distinguished where there is no address (telemetry.ts T2)", () => {
  const { telemetry, lines } = started({ linesPerSecondMax: 8 });
  const topic = defineEvent<{ deviceId: string }>({ name: "uplink", level: "warn", message: () => "no" });
  for (let i = 0; i < 100; i++) telemetry.emit(topic, { deviceId: "rogue" });
  telemetry.emit(topic, { deviceId: "good" });
  expect(lines.map(({ deviceId }) => deviceId)).toEqual(["rogue", "rogue", "good"]);
});

test("gauges are read at scrape; one that throws is left out and breaks nothing (telemetry.ts T3)", async () => {
  const { telemetry, metric } = started();
  let depth = 1;
  telemetry.gauge({ name: "depth", help: "Depth" }, () => depth);
  telemetry.gauge({ name: "lag", help: "Lag", labels: ["topic"] }, () => [{ labels: { topic: "a" }, value: 3 }]);
  telemetry.gauge({ name: "broken", help: "Broken" }, () => {
    throw new Error("gone");
  });
  expect(await metric("depth")).toEqual(["depth 1"]);
  depth = 2;
  expect([await metric("depth"), await metric("lag{"), (await metric("broken")).length < 2]).toEqual([
    ["depth 2"],
    ['lag{topic="a"} 3'],
    true,
  ]);
});

test("below its level an event writes nothing and still counts; the ready line is always written", async () => {
  for (const level of ["error", "silent"] satisfies (Level | "silent")[]) {
    const { telemetry, lines, metric } = started({ level });
    telemetry.emit(refused, { code: "quiet", bytes: 1, seq: 0n });
    telemetry.ready({ http: 8080 });
    expect(lines).toEqual([{ event: "ready", service: "bridge", ports: { http: 8080 } }]);
    expect(await metric("refused_total")).toEqual(['refused_total{code="quiet"} 1']);
  }
});

test("a metric is there before its event ever happened (telemetry.ts T6)", async () => {
  const early = { name: "early_total", help: "Early", labels: ["why"] as const };
  defineEvent<{ why: string }>({
    name: "early",
    level: "info",
    message: () => "",
    counter: [early, { name: "plain_total", help: "Plain" }],
  });
  const { metric } = started();
  expect(await metric("# TYPE early_total")).toEqual(["# TYPE early_total counter"]);
  expect([await metric("early_total"), await metric("plain_total")]).toEqual([[], ["plain_total 0"]]);
});

test("two events may share a metric", async () => {
  const { telemetry, metric } = started();
  const shared = { name: "drops_total", help: "Drops", labels: ["why"] as const };
  const make = (name: string) =>
    defineEvent<{ why: string }>({ name, level: "debug", message: () => name, counter: shared });
  telemetry.emit(make("a"), { why: "full" });
  telemetry.emit(make("b"), { why: "full" });
  expect(await metric("drops_total")).toEqual(['drops_total{why="full"} 2']);
});

test("a line about a traced frame has the trace's ids; labels are in snake_case (telemetry.ts T5)", async () => {
  const { telemetry, lines, metric } = started();
  const settled = defineEvent<{ settledBy: string; traceparent?: string | null }>({
    name: "settled",
    level: "info",
    message: () => "settled",
    counter: { name: "answers_total", help: "Answers", labels: ["settledBy"] },
  });
  telemetry.emit(settled, { settledBy: "KEPT", traceparent: `00-${"1".repeat(32)}-${"2".repeat(16)}-01` });
  for (const traceparent of [null, "malformed", undefined])
    telemetry.emit(settled, { settledBy: "KEPT", ...(traceparent !== undefined && { traceparent }) });
  expect(lines[0]).toMatchObject({ settledBy: "KEPT", trace_id: "1".repeat(32), span_id: "2".repeat(16) });
  expect(
    lines.flatMap((line) => Object.keys(line)).filter((key) => key === "traceparent" || key === "trace_id"),
  ).toEqual(["trace_id"]);
  expect(await metric("answers_total")).toEqual(['answers_total{settled_by="KEPT"} 4']);
});

test("without a collector in the environment nothing is traced, and a context is handed on as it is (tracer.ts S1, telemetry.ts T7)", async () => {
  const { telemetry } = started();
  await telemetry.startTracing();
  const parent = `00-${"1".repeat(32)}-${"2".repeat(16)}-01`;
  const span = telemetry.tracer.span({ ...sending("kafka", "t"), parent });
  span.end();
  expect([telemetry.tracer.isOn, span.traceparent, telemetry.tracer.span({ name: "n" }).traceparent]).toEqual([
    false,
    parent,
    null,
  ]);
});
