/** Spans from every process's own exporter: one trace per sent frame, from its capture to its final answer on the device. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { EdgeFrame } from "@tributary/contracts";
import { formatFrameId } from "@tributary/kernel";
import { type Stack, startStack, untilAnswered } from "@tributary/stack";
import { type OtlpReceiver, otlpReceiver, type ReceivedSpan, tempDir, testKafka, waitFor } from "@tributary/testing";
import { RawDevice } from "./raw-device.ts";

const DEVICES = 3;
const FRAMES = 90;
const MQTT = "tributary/v1/{deviceId}";

/** Spans by process; children below their parents. */
const JOURNEY = `
agent: frame
  agent: infer
  agent: decide
  agent: outbox
  agent: send ${MQTT}/up/frames
    bridge: process ${MQTT}/up/frames
      bridge: send edge.frames.v1
        router: process edge.frames.v1
          router: send cloud.requests
            cloud-classifier: process cloud.requests
              cloud-classifier: call
              cloud-classifier: send cloud.results.v1
                router: process cloud.results.v1
                  router: send classifications.v1
                    bridge: process classifications.v1
                      bridge: send ${MQTT}/down/results
                        agent: process ${MQTT}/down/results
                    gateway: process classifications.v1
`;

/** Where the device does not trace, its trace begins at the bridge; this one does not wait for its answer, either. */
const FROM_THE_BRIDGE = JOURNEY.split("\n")
  .filter((line) => /^ {4}/.test(line) && !/down\/results|bridge: process classifications/.test(line))
  .map((line) => line.slice(4))
  .join("\n");
const UNSAMPLED = `00-${"a".repeat(32)}-${"b".repeat(16)}-00`;

describe("given a stack whose processes all export their spans", () => {
  const dir = tempDir("trace");
  const { brokers, prefix } = testKafka();
  const before = { ...process.env };
  let receiver: OtlpReceiver;
  let stack: Stack;
  let sent = 0;

  beforeAll(async () => {
    receiver = await otlpReceiver();
    Object.assign(process.env, receiver.env);
    stack = await startStack({
      dir: dir.path,
      kafka: { brokers, prefix, partitions: 4 },
      agents: { count: DEVICES, frames: FRAMES, fps: 30 },
    });
  });
  afterAll(async () => {
    await stack?.stop();
    await receiver?.close();
    for (const name of Object.keys(receiver?.env ?? {})) delete process.env[name];
    Object.assign(process.env, before);
    dir.remove();
  });

  /** One frame of a device that does not trace, and one of a device that does but does not sample it. Gives the first one's id. */
  const sendForeign = async (): Promise<string> => {
    const device = await RawDevice.connect(stack.mqttUrl, await stack.devices.register("raw-device"));
    await device.send("frames", EdgeFrame, { ...(await device.frame()), traceparent: UNSAMPLED });
    // A drawn one is asked about whatever the fleet's budget.
    const frame: EdgeFrame = { ...(await device.frame()), reason: "SAMPLE", sampleDrawn: true };
    await device.send("frames", EdgeFrame, frame);
    await device.close();
    return formatFrameId(frame);
  };

  test("when cameras show frames, then each sent one has one trace, whose spans are of all processes and have the right parents", async () => {
    expect(await untilAnswered(stack, FRAMES, { silenceMsMax: 30_000 })).toBe(true);
    for (const { url } of stack.agents) {
      const status = (await (await fetch(`${url}/v1/status`)).json()) as { sent: Record<string, number> };
      sent += Object.values(status.sent).reduce((a, b) => a + b, 0);
    }
    expect(sent).toBeGreaterThan(5);
    const foreign = await sendForeign();
    const answered = () => receiver.spans.filter(({ name }) => name === `process ${MQTT}/down/results`);
    await waitFor(() => answered().length >= sent, { what: "every answer's span", everyMs: 100 });
    await waitFor(() => receiver.spans.some(isSpanOf(foreign)), {
      what: "the foreign device's answer",
    });
    await stack.stop(); // What is left is sent by then.

    const all = [...Map.groupBy(receiver.spans, ({ traceId }) => traceId).values()];
    const [begunAtBridge, ...more] = all.filter((spans) => !spans.some(({ name }) => name === "frame"));
    expect(more).toEqual([]);
    expect(drawn(begunAtBridge ?? [])).toBe(FROM_THE_BRIDGE);
    const traces = all.filter((spans) => spans !== begunAtBridge);
    const whole = traces.filter((spans) => settledBy(spans) === "CLOUD_ANSWER");
    expect(traces).toHaveLength(sent); // No span is outside a frame's trace, a batch's call neither.
    expect(whole.length).toBeGreaterThan(0); // How many are answered in time depends on the machine.
    for (const spans of whole) expect(drawn(spans)).toBe(JOURNEY.trim());
    for (const spans of traces) {
      expect(spans.filter(({ name }) => name === "send classifications.v1")).toHaveLength(1); // G2
      for (const span of spans) expect(span.endMs).toBeGreaterThanOrEqual(span.startMs);
    }
    console.info(`${sent} sent frames, ${whole.length} answered by the cloud, ${receiver.spans.length} spans`);
  });

  test("then a call of the backend links to every frame in it, and each of them to the call", () => {
    const byId = new Map(receiver.spans.map((span) => [span.spanId, span]));
    const calls = receiver.spans.filter(({ name }) => name === "call default");
    const shares = receiver.spans.filter(({ name }) => name === "batched default");
    const linked = (span: ReceivedSpan) => span.links.map(({ spanId }) => byId.get(spanId));
    for (const call of calls) {
      expect(call.kind).toBe("client");
      expect(1 + call.links.length).toBe(call.attributes["tributary.batch.frames"]);
      for (const frame of linked(call)) expect(frame?.name).toMatch(/^process cloud\.requests/);
    }
    for (const share of shares) {
      const [call, ...others] = linked(share);
      expect([call?.name, others]).toEqual(["call default", []]);
      expect(call?.links.map(({ spanId }) => spanId)).toContain(share.parentSpanId);
    }
    console.info(`${calls.length} calls of the backend, ${shares.length} frames in another's`);
    const inCalls = calls.reduce((sum, call) => sum + 1 + call.links.length, 0);
    expect(inCalls).toBe(calls.length + shares.length);
  });

  test("then messaging spans have system, operation and destination in OpenTelemetry's words", () => {
    for (const { name, kind, attributes } of receiver.spans) {
      const [, operation, destination = ""] = /^(send|process) (.+)$/.exec(name) ?? [];
      if (operation === undefined) continue;
      expect(kind).toBe(operation === "send" ? "producer" : "consumer");
      const isMqtt = destination.startsWith(MQTT);
      expect(attributes).toMatchObject({
        "messaging.system": isMqtt ? "mqtt" : "kafka",
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        [isMqtt ? "messaging.destination.template" : "messaging.destination.name"]: destination,
      });
    }
  });
});

const isSpanOf =
  (frameId: string) =>
  ({ service, attributes }: ReceivedSpan) =>
    service === "tributary-gateway" && attributes["tributary.frame.id"] === frameId;

const settledBy = (spans: readonly ReceivedSpan[]) =>
  spans.find(({ name }) => name === "send classifications.v1")?.attributes["tributary.answer.settled_by"];

/** The trace as a tree. A lane and a place in a batch are chance. */
function drawn(spans: readonly ReceivedSpan[]): string {
  const lineOf = ({ service, name }: ReceivedSpan) =>
    `${service.replace("tributary-", "")}: ${name.replace(/(cloud\.requests)\S+/, "$1").replace(/^(call|batched) \S+/, "call")}`;
  const order = (span: ReceivedSpan) => JOURNEY.indexOf(lineOf(span));
  const below = (parent: string, indent: string): string[] =>
    spans
      .filter(({ parentSpanId }) => parentSpanId === parent)
      .sort((a, b) => order(a) - order(b))
      .flatMap((span) => [`${indent}${lineOf(span)}`, ...below(span.spanId, `${indent}  `)]);
  const lines = below("", "");
  if (lines.length !== spans.length)
    return `${lines.join("\n")}\n${spans.length - lines.length} spans without their parents`;
  return lines.join("\n");
}
