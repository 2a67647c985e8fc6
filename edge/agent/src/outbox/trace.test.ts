import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { EdgeFrame } from "@tributary/contracts";
import { traceContextOf } from "@tributary/kernel";
import { frameItem, limits } from "../testing/items.ts";
import { OutboxEngine } from "./engine.ts";
import type { FromOutbox } from "./rows.ts";

const folder = mkdtempSync(join(tmpdir(), "tributary-outbox-trace-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ROOT = `00-${"1".repeat(32)}-${"2".repeat(16)}-01`;

test("a frame's trace waits with it over a restart; each time it leaves is a span of its own, which the record names", () => {
  let nowMs = 1_000;
  const sent: Extract<FromOutbox, { kind: "send" }>[] = [];
  const start = () =>
    new OutboxEngine(
      { file: join(folder, "outbox.sqlite"), deviceId: "cam", limits },
      () => ({ machineBoot: "b", monotonicMs: nowMs, wallMs: null }),
      (message) => message.kind === "send" && message.key.stream === "frames" && sent.push(message),
    );
  const before = start();
  const captured = { machineBoot: "b", monotonicMs: nowMs, wallMs: null };
  const spec = { captured, reason: "AMBIGUOUS", deadlineMs: 60_000 } as const;
  const traced = { ...frameItem({ ...spec, frameSeq: 1 }), traceparent: ROOT };
  before.receive({ kind: "append", items: [traced, frameItem({ ...spec, frameSeq: 2 })] });
  before.receive({ kind: "close" });

  nowMs += 5_000;
  const after = start();
  for (const epoch of [1, 2]) {
    after.receive({ kind: "link", online: true, epoch });
    after.tick();
    nowMs += 100;
  }
  const published = sent.map(({ payload, trace }) => ({
    seq: Number(EdgeFrame.decodeSingleObject(payload).frameSeq),
    context: traceContextOf(EdgeFrame.decodeSingleObject(payload).traceparent),
    trace,
  }));
  after.receive({ kind: "close" });

  const [first, again] = published.filter(({ seq }) => seq === 1);
  expect(published.map(({ seq }) => seq).sort()).toEqual([1, 1, 2, 2]);
  for (const one of [first, again]) {
    expect(one?.trace).toMatchObject({ parent: ROOT });
    expect(one?.context).toMatchObject({ traceId: "1".repeat(32), isSampled: true });
    expect(traceContextOf(one?.trace?.context)).toEqual(one?.context);
  }
  expect(first?.context?.spanId).not.toBe(again?.context?.spanId);
  expect(first?.trace?.waitedMs).toBe(5_000 - 3); // Without what the model took.
  for (const { context, trace } of published.filter(({ seq }) => seq === 2))
    expect([context, trace]).toEqual([undefined, undefined]);
});
