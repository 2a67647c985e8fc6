import { expect, test } from "@jest/globals";
import { callDefaults, SimulatedClock } from "@tributary/calls";
import { seededRandom } from "@tributary/kernel";
import type { CloudOutcome } from "./cloud-backend.ts";
import { dispatch } from "./dispatch.ts";
import { Target } from "./target.ts";

const answered: CloudOutcome = { kind: "answered", label: "cat", confidence: 1, margin: 1, modelDigest: null };
const failed: CloudOutcome = { kind: "failed", code: "server-error", message: "", again: false };
const refused: CloudOutcome = { kind: "refused", code: "image-undecodable", message: "" };

/** Targets that answer after so many milliseconds, asked in this order. */
async function through(
  chain: readonly (readonly [ms: number, outcome: CloudOutcome])[],
  deadlineMs: number,
  keepExpired = false,
) {
  const clock = new SimulatedClock();
  const asked: number[] = [];
  const handed: string[] = [];
  const targets = chain.map(
    ([ms, outcome], i) =>
      new Target({
        name: `t${i}`,
        backend: {
          classify: async (batch, { signal }) => {
            asked.push(i);
            await clock.sleep(ms, signal).catch(() => {});
            return batch.map(() => outcome);
          },
          ready: () => true,
          close: async () => {},
        },
        limits: { batchMax: 1, waitMs: 0, queueFramesMax: 10, queueBytesMax: 1_000, callsMax: 2 },
        calls: { ...callDefaults, costMicrosPerCall: 10 ** i },
        isServer: true,
        clock,
        random: seededRandom(1),
      }),
  );
  const frame = {
    jpeg: Uint8Array.of(1),
    lane: "normal",
    deviceId: "cam",
    deadlineAt: deadlineMs,
    keepExpired,
  } as const;
  let endedAt = Number.NaN;
  const dispatched = dispatch(frame, {
    targets,
    reserveMs: 200,
    clock,
    onFallback: ({ from, to, code }) => handed.push(`${from}>${to}: ${code}`),
  }).then((got) => {
    endedAt = clock.now();
    return got;
  });
  await clock.runUntil(30_000);
  const { target, verdict } = await dispatched;
  await Promise.all(targets.map((each) => each.close()));
  return { target, verdict, asked, handed, endedAt };
}

test("after a target that fails the next is asked, and its cost is added; an answer ends it", async () => {
  const got = await through(
    [
      [50, failed],
      [50, failed],
      [50, answered],
      [50, answered],
    ],
    1_000,
  );
  expect(got).toMatchObject({ target: "t2", asked: [0, 1, 2], endedAt: 150 });
  expect(got.verdict).toMatchObject({ outcome: answered, attempts: 3, costMicros: 111 });
  expect(got.handed).toEqual(["t0>t1: server-error", "t1>t2: server-error"]);
});

test("a target that hangs leaves its successors the reserve", async () => {
  const got = await through(
    [
      [9_999, answered],
      [9_999, answered],
      [50, answered],
    ],
    1_000,
  );
  expect(got).toMatchObject({ target: "t2", endedAt: 850, verdict: { outcome: answered, costMicros: 111 } });
  expect(got.handed).toEqual(["t0>t1: backend-timeout", "t1>t2: backend-timeout"]);
});

test("a refused frame is refused; where there is little time all get a share of it, and nobody is asked after the deadline", async () => {
  expect(
    await through(
      [
        [50, refused],
        [50, answered],
      ],
      1_000,
    ),
  ).toMatchObject({ target: "t0", asked: [0] });
  const tight = await through(
    [
      [9_999, answered],
      [50, answered],
    ],
    150,
  );
  expect(tight).toMatchObject({ target: "t1", asked: [0, 1], endedAt: 125 }); // half each
  const late = await through(
    [
      [9_999, answered],
      [90, answered],
      [0, answered],
    ],
    150,
  );
  expect(late).toMatchObject({ target: "t2", asked: [0, 1, 2], endedAt: 100 });
  const never = await through(
    [
      [9_999, answered],
      [9_999, answered],
    ],
    150,
  );
  expect(never).toMatchObject({ target: "t1", endedAt: 150, verdict: { kind: "expired", code: "backend-timeout" } });
});

test("a drawn frame is asked for after its deadline too", async () => {
  const got = await through(
    [
      [50, failed],
      [50, answered],
    ],
    20,
    true,
  );
  expect(got).toMatchObject({ target: "t1", verdict: { outcome: answered, attempts: 2 } });
});
