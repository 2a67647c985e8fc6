import { describe, expect, test } from "@jest/globals";
import { callDefaults } from "@tributary/calls";
import { seededRandom, systemClock } from "@tributary/kernel";
import type { CloudBackend, CloudFrame, CloudOutcome } from "./cloud-backend.ts";
import { type Submission, Target, type TargetOptions } from "./target.ts";

const answered = (label: string): CloudOutcome => ({
  kind: "answered",
  label,
  confidence: 0.9,
  margin: 0.8,
  modelDigest: null,
});
const died: CloudOutcome = { kind: "failed", code: "model-host-exited", message: "gone", again: "alone" };

/** Dies whenever a batch holds `killer`; otherwise the label is the frame's first byte. */
function fragileBackend(calls: number[][], killer: number): CloudBackend {
  return {
    classify: async (batch) => {
      const bytes = batch.map((frame: CloudFrame) => frame.jpeg[0] as number);
      calls.push(bytes);
      return bytes.includes(killer) ? batch.map(() => died) : bytes.map((byte) => answered(`${byte}`));
    },
    ready: () => true,
    close: async () => {},
  };
}

/** Answers nothing before it is closed; `called` once it is asked. */
function hungBackend(): { readonly backend: CloudBackend; readonly called: Promise<void> } {
  const call = Promise.withResolvers<void>();
  const hung = Promise.withResolvers<readonly CloudOutcome[]>();
  const classify = () => {
    call.resolve();
    return hung.promise;
  };
  return {
    backend: { classify, ready: () => true, close: async () => hung.resolve([died]) },
    called: call.promise,
  };
}

const targetOf = (backend: CloudBackend, queueFramesMax = 100, more: Partial<TargetOptions> = {}) =>
  new Target({
    name: "default",
    backend,
    limits: { batchMax: 8, waitMs: 1, queueFramesMax, queueBytesMax: 1_000_000, callsMax: 1 },
    calls: { ...callDefaults, callMsMax: 1_000, costMicrosPerCall: 120 },
    isServer: false,
    clock: systemClock,
    random: seededRandom(1),
    ...more,
  });

const frame = (byte: number, more: Partial<Submission> = {}): Submission => ({
  jpeg: Uint8Array.of(byte),
  lane: "normal",
  deviceId: "cam",
  deadlineAt: Date.now() + 10_000,
  keepExpired: false,
  ...more,
});

describe("Target", () => {
  test("a frame that kills the backend takes no other with it, and all share what it cost", async () => {
    const calls: number[][] = [];
    const target = targetOf(fragileBackend(calls, 2));
    const verdicts = await Promise.all([1, 2, 3].map((byte) => target.submit(frame(byte))));
    expect(verdicts).toEqual([
      { kind: "outcome", outcome: answered("1"), attempts: 2, costMicros: 160 },
      { kind: "outcome", outcome: died, attempts: 2, costMicros: 160 },
      { kind: "outcome", outcome: answered("3"), attempts: 2, costMicros: 160 },
    ]);
    expect(calls).toEqual([[1, 2, 3], [1], [2], [3]]);
    await target.close();
  });

  test("a late frame is expired, a late sample is classified", async () => {
    const target = targetOf(fragileBackend([], -1));
    const late = { deadlineAt: Date.now() - 1 };
    const verdicts = await Promise.all([
      target.submit(frame(1, late)),
      target.submit(frame(2, { ...late, keepExpired: true })),
    ]);
    expect(verdicts.map((v) => v.kind)).toEqual(["expired", "outcome"]);
    await target.close();
  });

  test("a frame gets its verdict by its deadline while its call goes on, and others are called meanwhile", async () => {
    const calls: number[] = [];
    const backend: CloudBackend = {
      classify: async (batch, { signal }) => {
        const byte = batch[0]?.jpeg[0] as number;
        calls.push(byte);
        if (byte === 1) await new Promise((resolve) => signal.addEventListener("abort", resolve));
        return batch.map(() => answered(`${byte}`));
      },
      ready: () => true,
      close: async () => {},
    };
    const limits = { batchMax: 1, waitMs: 0, queueFramesMax: 100, queueBytesMax: 1_000_000, callsMax: 2 };
    const target = targetOf(backend, 100, { limits, isServer: true });
    const hung = target.submit(frame(1, { deadlineAt: Date.now() + 200 }));
    const [second, third] = await Promise.all([target.submit(frame(2)), target.submit(frame(3))]);
    expect([second.kind, third.kind]).toEqual(["outcome", "outcome"]);
    // Its call and its deadline end at the same moment; whichever comes first gives the same code.
    const verdict = await hung;
    expect(verdict).toMatchObject({ attempts: 1, costMicros: 120 });
    expect(verdict.kind === "outcome" ? verdict.outcome : verdict).toMatchObject({ code: "backend-timeout" });
    expect(calls).toEqual([1, 2, 3]);
    await target.close();
  });

  test("one that waits for room in a full queue gets it too", async () => {
    const { backend, called } = hungBackend();
    const target = targetOf(backend, 1);
    const first = target.submit(frame(1));
    await called;
    const queued = target.submit(frame(2, { lane: "high" }));
    const waiting = await target.submit(frame(3, { lane: "high", deadlineAt: Date.now() + 50 }));
    expect(waiting).toEqual({ kind: "expired", code: "deadline-passed", attempts: 0, costMicros: 0 });
    await target.close();
    expect((await Promise.all([first, queued])).map(({ kind }) => kind)).toEqual(["closing", "closing"]);
  });

  test("closing settles everyone without an outcome, those who wait for room too", async () => {
    const { backend, called } = hungBackend();
    const target = targetOf(backend, 1);
    const first = target.submit(frame(1));
    await called;
    const queued = target.submit(frame(2, { lane: "high" }));
    const waiting = target.submit(frame(3, { lane: "high" }));
    const shed = target.submit(frame(4));
    await target.close();
    expect((await Promise.all([first, queued, waiting, shed])).map((v) => v.kind)).toEqual([
      "closing",
      "closing",
      "closing",
      "overloaded",
    ]);
  });
});
