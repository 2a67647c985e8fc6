/** Labels that come long after their frames, are corrected, or come in any order, folded from the log with little memory. */
import { describe, expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { type Random, seededRandom } from "@tributary/kernel";
import { somePrediction, somePredictions } from "@tributary/testing";
import { classes, type Frame, folded, HOUR, Log, MINUTE, namesOf, outcome, T0 } from "./late-labels.test-kit.ts";

describe("a label", () => {
  test("that comes three hours after its frame counts, though many times as many frames came meanwhile as memory holds", async () => {
    const devices = namesOf(10);
    const log = new Log({ partitions: 3 });
    const frames = Array.from({ length: 1_800 }, (_, i): Frame => {
      const [minute, device] = [Math.floor(i / 10), i % 10];
      return { deviceId: devices[device] as string, frameSeq: BigInt(minute + 1), at: T0 + minute * MINUTE + device };
    });
    for (const frame of frames) log.frame(frame);
    const early = frames.slice(0, 200);
    for (const [i, frame] of early.entries()) log.label(frame, i % 4 === 0 ? "dog" : "cat", frame.at + 3 * HOUR);
    const { labels, good, metrics } = await folded(log, devices, { to: T0 + 4 * HOUR });
    expect([labels, good]).toEqual([200, 150]);
    expect(outcome(metrics, "late")).toBe(200);
  });

  test("of a frame that was not drawn, or is not in the log, does not count, and is counted as such", async () => {
    const log = new Log();
    const frames = Array.from({ length: 120 }, (_, i): Frame => {
      return { deviceId: "device-0", frameSeq: BigInt(i + 1), at: T0 + i * MINUTE };
    });
    for (const [i, frame] of frames.entries()) log.frame(frame, i === 0 ? { samplePropensity: 0 } : {});
    const [first] = frames as [Frame];
    log.label(first, "cat", T0 + 3 * HOUR);
    log.label({ ...first, frameSeq: 999n }, "cat", T0 + 3 * HOUR);
    const { labels, metrics } = await folded(log, ["device-0", "device-1"], { to: T0 + 4 * HOUR });
    expect([labels, outcome(metrics, "not-drawn"), outcome(metrics, "frame-unknown")]).toEqual([0, 1, 1]);
  });

  test("counts though more are imported at one moment than memory holds", async () => {
    const log = new Log({ partitions: 2 });
    const devices = namesOf(50);
    for (const deviceId of devices) {
      const predictions = Array.from({ length: 500 }, (_, i) =>
        somePrediction({ frameSeq: BigInt(i + 1), sampleDrawn: true, samplePropensity: 0.02, label: "cat", ageMs: 0 }),
      );
      log.put(topics.predictions, deviceId, somePredictions({ deviceId, predictions }), { timestamp: T0 + 1 });
    }
    for (const deviceId of devices) {
      for (let i = 1; i <= 500; i++) log.label({ deviceId, frameSeq: BigInt(i), at: T0 + 1 }, "cat", T0 + 10 * HOUR);
    }
    const { labels } = await folded(log, devices, { to: T0 + 12 * HOUR, everyMs: HOUR });
    expect(labels).toBe(25_000);
  });

  test.each([
    ["in memory", 50],
    ["in the log only", 1],
  ])("is corrected by the next one, and taken out by one without a class, its frame %s", async (_, drawnFramesMax) => {
    const log = new Log();
    const frames = [1, 2, 3, 4].map((i): Frame => ({ deviceId: "device-0", frameSeq: BigInt(i), at: T0 + i * MINUTE }));
    for (const frame of frames) {
      log.frame(frame);
      log.answer(frame, "dog");
    }
    const [first, second] = frames as [Frame, Frame, Frame, Frame];
    const seen: unknown[] = [];
    const look = async (at: number) => {
      const { labels, good, arms, rate } = await folded(log, ["device-0", "device-1"], {
        to: at,
        limits: { drawnFramesMax },
      });
      const ofClasses = arms.slice(2).map(([canary]) => canary?.frames[0]);
      seen.push([labels, good, arms[1]?.[0]?.good[0], ofClasses, rate]);
    };
    for (const frame of frames) log.label(frame, "cat", T0 + 2 * HOUR);
    await look(T0 + 3 * HOUR);
    log.label(first, "dog", T0 + 4 * HOUR);
    await look(T0 + 5 * HOUR);
    log.label(first, null, T0 + 6 * HOUR);
    log.label(second, "cat", T0 + 6 * HOUR); // Once more the same.
    await look(T0 + 7 * HOUR);
    log.label(first, "cat", T0 + 8 * HOUR);
    log.label(second, "bird", T0 + 8 * HOUR);
    await look(T0 + 9 * HOUR);
    expect(seen).toEqual([
      [4, 4, 0, [4, 0, 0], 1],
      [4, 3, 1, [3, 1, 0], 0.75],
      [3, 3, 0, [3, 0, 0], 1],
      [4, 3, 0, [3, 0, 1], 0.75],
    ]);
  });
});

/** What happens to each frame, in an order of its own. */
function history(random: Random) {
  const devices = namesOf(5);
  const frames = Array.from({ length: 150 }, (_, i): Frame => {
    const deviceId = devices[Math.floor(random() * devices.length)] as string;
    return { deviceId, frameSeq: BigInt(i + 1), at: T0 + i * MINUTE };
  });
  const pick = () => classes[Math.floor(random() * classes.length)] as string;
  const draws = frames.map(() => ({ label: pick(), samplePropensity: random() < 0.5 ? 0.02 : 0.04, answer: pick() }));
  const truths = frames.map(() =>
    random() < 0.3 ? [] : Array.from({ length: 1 + Math.floor(random() * 3) }, () => (random() < 0.2 ? null : pick())),
  );
  return { devices, frames, draws, truths };
}

/** In the order of time; the labels of one frame keep their order. */
function logOf({ frames, draws, truths }: ReturnType<typeof history>, random: Random): Log {
  const log = new Log({ partitions: 2 });
  const writes: { readonly at: number; readonly write: (at: number) => void }[] = [];
  for (const [i, frame] of frames.entries()) {
    const { answer, ...draw } = draws[i] as (typeof draws)[number];
    const answeredAt = frame.at + Math.floor(random() * 5_000);
    writes.push({ at: frame.at, write: () => log.frame(frame, draw) });
    writes.push({ at: answeredAt, write: (at) => log.answer({ ...frame, at }, answer) });
    let at = frame.at - 30_000;
    for (const truth of truths[i] ?? []) {
      at += Math.floor(random() ** 3 * 4 * HOUR);
      writes.push({ at: Math.max(T0 + 1, at), write: (labelledAt) => log.label(frame, truth, labelledAt) });
    }
  }
  for (const { at, write } of writes.toSorted((a, b) => a.at - b.at)) write(at);
  return log;
}

describe.each(Array.from({ length: 12 }, (_, i) => i + 1))("seed %i: labels and corrections", (seed) => {
  test("count the same in any order, with any memory, after a restart, and when reading fails", async () => {
    const random = seededRandom(seed);
    const past = history(random);
    const to = T0 + 16 * HOUR;
    const plenty = { drawnFramesMax: 1_000, labelsWaitingMax: 1_000, labelledFramesMax: 1_000 };
    const expected = await folded(logOf(past, random), past.devices, { to, everyMs: 16 * HOUR, limits: plenty });
    const last = past.truths.flatMap((truths) => truths.at(-1) ?? []);
    expect([seed, expected.labels]).toEqual([seed, last.length]);
    const other = logOf(past, random);
    const small = { drawnFramesMax: 1 + Math.floor(random() * 20), labelledFramesMax: 1_000 };
    expect((await folded(other, past.devices, { to, limits: small })).arms).toEqual(expected.arms);
    other.before = (call) => {
      if (call !== "send" && random() < 0.002) throw new Error("away");
    };
    const limits = { ...small, drawnFramesMax: 10 };
    const restarted = await folded(other, past.devices, { to, everyMs: 4 * MINUTE, limits });
    expect(restarted.arms).toEqual(expected.arms);
  });
});
