/** What is kept, over seeds: whatever the order of events, within the bounds, and not at the cost of other devices. */
import { describe, expect, test } from "@jest/globals";
import type { ArchivedFrame } from "@tributary/contracts";
import { formatFrameId, parseFrameId, seededRandom } from "@tributary/kernel";
import { ARCHIVE_MEMORY_MS, ArchiveMemory, type SentFrame } from "./archive-memory.ts";
import { archiveCapsDefaults, keepOutcome } from "./keep-rule.ts";

const NOW = Date.UTC(2026, 10, 28, 12);
const DAY_MS = 86_400_000;
const seeds = Array.from({ length: 20 }, (_, seed) => seed);
const nowhere = () => undefined;

const frameOf = (seq: number, change: Partial<SentFrame> = {}): SentFrame => {
  const deviceId = change.deviceId ?? "device-1";
  const frameId = formatFrameId({ deviceId, bootId: 7n, cameraId: "cam", frameSeq: BigInt(seq) });
  const place = { frameId, deviceId, cameraId: "cam", offset: BigInt(seq), receivedAt: NOW };
  return { ...place, label: "cat", bytes: 1_000, sampleDrawn: false, ...change };
};
const recordOf = (frame: SentFrame): ArchivedFrame =>
  ({ ...parseFrameId(frame.frameId), ...frame, edgeLabel: frame.label, cloudLabel: null }) as unknown as ArchivedFrame;
const memoryOf = (caps: Partial<typeof archiveCapsDefaults> = {}, framesMax = 10_000) =>
  new ArchiveMemory({ caps: { ...archiveCapsDefaults, ...caps }, framesMax });

function shuffled<T>(items: readonly T[], seed: number): T[] {
  const random = seededRandom(seed);
  const all = [...items];
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [all[i], all[j]] = [all[j] as T, all[i] as T];
  }
  return all;
}

describe("a memory of the archive", () => {
  test.each(seeds)("keeps the same frames in whatever order frames, answers and labels come (seed %i)", (seed) => {
    const memory = memoryOf();
    const kept = new Set<string>();
    const consider = (frame: SentFrame | undefined): void => {
      if (frame === undefined || memory.decide(frame, nowhere).outcome !== "kept") return;
      kept.add(frame.frameId);
      memory.stored(recordOf(frame));
    };
    const wanted = ({ deviceId, frameId }: SentFrame) => {
      if (memory.isWanted(deviceId, frameId)) consider(memory.sentFrame(deviceId, frameId));
    };
    const frames = Array.from({ length: 40 }, (_, i) => frameOf(i + 1, { sampleDrawn: i % 10 === 0 }));
    const events = frames.flatMap((frame, i) => [
      () => consider(frame),
      () => consider(frame), // delivered again
      () => {
        const cloud = { label: i % 4 === 1 ? "dog" : "cat", confidence: 0.9 };
        memory.answered(frame.deviceId, frame.frameId, cloud, frame.label);
        wanted(frame);
      },
      () => {
        if (i % 7 === 2) memory.labelled(frame.deviceId, frame.frameId);
        wanted(frame);
      },
    ]);
    for (const event of shuffled(events, seed)) event();
    const expected = frames.filter((_, i) => i % 10 === 0 || i % 4 === 1 || i % 7 === 2);
    expect([...kept].sort()).toEqual(expected.map(({ frameId }) => frameId).sort());
  });

  test("an answer that comes after the frame was kept is written into its record, once", () => {
    const memory = memoryOf();
    const frame = frameOf(1, { sampleDrawn: true });
    memory.decide(frame, nowhere);
    memory.stored(recordOf(frame));
    const amended = memory.answered(frame.deviceId, frame.frameId, { label: "dog", confidence: 0.8 }, "cat");
    expect(amended).toMatchObject({ cloudLabel: "dog", cloudConfidence: 0.8 });
    memory.stored(amended as ArchivedFrame);
    expect(memory.answered(frame.deviceId, frame.frameId, { label: "cat", confidence: 0.8 }, "cat")).toBeUndefined();
  });

  test("a picture that was not stored costs no bound, and is decided on again", () => {
    const memory = memoryOf({ framesPerDay: 1 });
    const frame = frameOf(1, { sampleDrawn: true });
    expect(memory.decide(frame, nowhere).outcome).toBe("kept");
    expect(memory.decide(frame, nowhere).outcome).toBe("repeated");
    expect(memory.decide(frameOf(2, { sampleDrawn: true }), nowhere).outcome).toBe("day-frames");
    memory.release(frame, true);
    expect(memory.decide(frame, nowhere).outcome).toBe("kept");
  });

  test("a frame that a bound of SCOPE refused is kept once it has a label", () => {
    const memory = memoryOf({ framesPerClassDay: 0 });
    const frame = frameOf(1);
    expect(memory.decide(frame, () => "verdict").outcome).toBe("day-class");
    expect(memory.inScope(["device-1"], () => "verdict", 10)).toEqual([]);
    memory.labelled(frame.deviceId, frame.frameId);
    const found = memory.sentFrame(frame.deviceId, frame.frameId);
    expect(memory.decide(found as SentFrame, () => "verdict")).toEqual({
      outcome: "kept",
      why: "LABELLED",
      verdictId: "",
    });
  });

  test("frames that came before their verdict opened are found; what is old is forgotten", () => {
    const memory = memoryOf();
    for (let seq = 1; seq <= 5; seq++) memory.decide(frameOf(seq, { receivedAt: NOW - seq * 1_000 }), nowhere);
    const scopeOf = ({ receivedAt }: SentFrame) => (receivedAt >= NOW - 3_000 ? "verdict" : undefined);
    expect(memory.inScope(["device-1", "device-2"], scopeOf, 10).map(({ offset }) => offset)).toEqual([1n, 2n, 3n]);
    expect(memory.inScope(["device-1"], scopeOf, 2)).toHaveLength(2);
    memory.prune(NOW, 2_500);
    expect(memory.sent).toBe(2);
  });

  test("counts of a day are of that day, and are forgotten with it (M3)", () => {
    const memory = memoryOf({ framesPerDay: 1 });
    const drawn = (seq: number, receivedAt: number) => frameOf(seq, { sampleDrawn: true, receivedAt });
    for (const [seq, at] of [
      [1, NOW],
      [2, NOW - DAY_MS],
      [3, NOW + DAY_MS],
    ] as const) {
      expect(memory.decide(drawn(seq, at), nowhere).outcome).toBe("kept");
      memory.stored(recordOf(drawn(seq, at)));
    }
    expect(memory.decide(drawn(4, NOW), nowhere).outcome).toBe("day-frames");
    memory.prune(NOW + ARCHIVE_MEMORY_MS + DAY_MS, DAY_MS);
    expect(memory.decide(drawn(1, NOW), nowhere).outcome).toBe("kept");
  });

  test("a device that floods forgets its own frames, and its bounds are its own", () => {
    const memory = memoryOf({ framesPerDay: 50, bytesPerDay: 30_000 }, 300);
    const quiet = Array.from({ length: 10 }, (_, i) => `quiet-${i}`);
    for (const deviceId of quiet)
      for (let seq = 1; seq <= 10; seq++) memory.decide(frameOf(seq, { deviceId }), nowhere);
    let kept = 0;
    for (let seq = 1; seq <= 5_000; seq++) {
      const deviceId = "hostile";
      memory.decide(frameOf(seq, { deviceId }), nowhere);
      memory.labelled(deviceId, frameOf(seq, { deviceId }).frameId);
      const drawn = frameOf(10_000 + seq, { deviceId, sampleDrawn: true });
      if (memory.decide(drawn, nowhere).outcome === "kept") kept++;
    }
    expect(kept).toBe(30); // of 1,000 bytes each
    expect(memory.sent).toBe(300);
    for (const deviceId of quiet) {
      for (let seq = 1; seq <= 10; seq++) {
        expect(memory.sentFrame(deviceId, frameOf(seq, { deviceId }).frameId)).toBeDefined();
      }
      expect(memory.decide(frameOf(99, { deviceId, sampleDrawn: true }), nowhere).outcome).toBe("kept");
    }
  });
});

describe("frames of a verdict", () => {
  const caps = { framesPerDay: 1_000, framesPerClassDay: 200, bytesPerDay: 1e9 };
  const keptOf = (arrivals: number, seed: number): number[] => {
    const kept: number[] = [];
    for (let i = 0; i < arrivals; i++) {
      const counts = { frames: kept.length, ofClass: kept.length, bytes: 0 };
      if (keepOutcome({ frameId: `d:${seed}:cam:${i}`, bytes: 1 }, "SCOPE", counts, caps) === "kept") kept.push(i);
    }
    return kept;
  };

  test.each(seeds)(
    "are spread over the day: a share t / (1 + t) of the bound, also of the last hours (seed %i)",
    (seed) => {
      for (const t of [0.5, 1, 4]) {
        const arrivals = t * caps.framesPerClassDay;
        const kept = keptOf(arrivals, seed);
        expect(kept.length / caps.framesPerClassDay).toBeGreaterThan(t / (1 + t) - 0.12);
        expect(kept.length / caps.framesPerClassDay).toBeLessThan(t / (1 + t) + 0.12);
        expect(kept.filter((i) => i > 0.75 * arrivals).length).toBeGreaterThan(2);
      }
    },
  );

  test("draws and labelled frames know no bound of a class, and no thinning (K2)", () => {
    const counts = { frames: 900, ofClass: 900, bytes: 0 };
    const outcomes = (["SAMPLE", "LABELLED", "DISAGREEMENT", "SCOPE"] as const).map((why) =>
      keepOutcome({ frameId: "d:1:cam:1", bytes: 1 }, why, counts, caps),
    );
    expect(outcomes).toEqual(["kept", "kept", "day-class", "day-class"]);
  });
});
