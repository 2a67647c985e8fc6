import { expect, test } from "@jest/globals";
import type { SpanStart, Tracer } from "@tributary/telemetry";
import type { CloudBackend, CloudFrame } from "./cloud-backend.ts";
import { tracedBackend } from "./traced-backend.ts";

const trace = (digit: number, flags = "01") => `00-${`${digit}`.repeat(32)}-${`${digit}`.repeat(16)}-${flags}`;
const jpeg = new Uint8Array();

function rig() {
  const spans: (SpanStart & { ended?: string | undefined; own: string })[] = [];
  const tracer: Tracer = {
    isOn: true,
    span(start) {
      const span = { ...start, own: trace(9).replace("9999", `${spans.length}999`) };
      spans.push(span);
      const end = (how?: { error?: string | undefined }) => void Object.assign(span, { ended: how?.error ?? "well" });
      return { traceparent: span.own, set: () => {}, link: () => {}, end };
    },
  };
  const asked: (string | null | undefined)[] = [];
  const backend: CloudBackend = {
    classify: async (batch) => {
      asked.push(...batch.map(({ traceparent }) => traceparent));
      return batch.map(() => ({ kind: "failed", code: "slow", message: "", again: false }));
    },
    ready: () => true,
    close: async () => {},
  };
  const traced = tracedBackend(backend, "default", tracer);
  const classify = (...frames: CloudFrame[]) =>
    traced.classify(frames, { deadline: 0, signal: AbortSignal.timeout(1_000) });
  return { spans, asked, classify };
}

test("a call is in its first sampled frame's trace, and it and the others link to each other", async () => {
  const { spans, asked, classify } = rig();
  const frames = [null, trace(1, "00"), trace(2), trace(3), trace(4)].map((traceparent) => ({ jpeg, traceparent }));
  await classify(...frames);
  const [call, ...shares] = spans;
  expect(call).toMatchObject({
    name: "call default",
    kind: "client",
    parent: trace(2),
    links: [trace(3), trace(4)],
    ended: "slow",
  });
  expect(shares).toMatchObject([
    { name: "batched default", parent: trace(3), links: [call?.own], ended: "slow" },
    { name: "batched default", parent: trace(4), links: [call?.own], ended: "slow" },
  ]);
  expect(asked).toEqual(Array(5).fill(call?.own));
});

test("where no frame is sampled there is no span, and each frame keeps its context", async () => {
  const { spans, asked, classify } = rig();
  await classify({ jpeg, traceparent: trace(1, "00") }, { jpeg });
  expect([spans, asked]).toEqual([[], [trace(1, "00"), undefined]]);
});
