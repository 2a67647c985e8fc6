import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { FramePlan, laneOf, type WaitingFrame } from "./frame-plan.ts";

const REASONS = ["AMBIGUOUS", "PRIORITY", "SAMPLE", "FALLBACK"] as const;

const anyFrame = (id: number, random: Random): WaitingFrame => ({
  id,
  reason: REASONS[Math.floor(random() * REASONS.length)] ?? "AMBIGUOUS",
  drawn: random() < 0.2,
  score: Math.round(random() * 20) / 10 - 1,
  bytes: 1 + Math.floor(random() * 1_000),
  expiresAtMs: Math.floor(random() * 1_000),
});

const seeds = Array.from({ length: 200 }, (_, i) => i);

describe("frame plan", () => {
  test("frame-plan.ts F1, F4: the order of sending is high, then fresh, then backlog, each in order of capture", () => {
    for (const seed of seeds) {
      const random = seededRandom(seed);
      const plan = new FramePlan();
      const frames = Array.from({ length: 1 + Math.floor(random() * 40) }, (_, i) => anyFrame(i, random));
      for (const frame of frames) plan.add(frame);
      const nowMs = random() * 1_000;
      const expired = plan.expire(nowMs);
      expect({ seed, wrong: expired.filter((f) => f.drawn || f.expiresAtMs >= nowMs) }).toEqual({ seed, wrong: [] }); // frame-plan.ts F2
      const left: WaitingFrame[] = [];
      for (let next = plan.next(nowMs); next !== undefined; next = plan.next(nowMs)) left.push(next.frame);
      const rank = { high: 0, fresh: 1, backlog: 2 };
      const order = left.map((f) => [rank[laneOf(f, nowMs)], f.id] as const);
      expect({ seed, order }).toEqual({ seed, order: [...order].sort((a, b) => a[0] - b[0] || a[1] - b[1]) });
      // frame-plan.ts F4
      const out = [...expired, ...left].map(({ id }) => id).sort((a, b) => a - b);
      expect({ seed, out }).toEqual({ seed, out: frames.map(({ id }) => id) });
      expect({ seed, bytes: plan.bytes, size: plan.size }).toEqual({ seed, bytes: 0, size: 0 });
      // frame-plan.ts F2: an expired frame that leaves was drawn.
      expect(left.every((f) => f.drawn || f.expiresAtMs >= nowMs)).toBe(true);
    }
  });

  test("frame-plan.ts F3: no frame is dropped before one of less value, and no more than needed", () => {
    for (const seed of seeds) {
      const random = seededRandom(seed);
      const plan = new FramePlan();
      const frames = Array.from({ length: 1 + Math.floor(random() * 40) }, (_, i) => anyFrame(i, random));
      for (const frame of frames) plan.add(frame);
      const nowMs = 500;
      const wanted = Math.floor(random() * plan.bytes * 1.2);
      const dropped = plan.overflow(wanted, nowMs);
      const kept = frames.filter((frame) => !dropped.includes(frame));
      const group = (f: WaitingFrame) => (f.drawn ? 2 : f.reason === "PRIORITY" ? 1 : 0);
      for (const lost of dropped) {
        for (const frame of kept) {
          const lostIsWorth = [group(lost), Number(lost.expiresAtMs >= nowMs), lost.score];
          const frameIsWorth = [group(frame), Number(frame.expiresAtMs >= nowMs), frame.score];
          expect({ seed, ok: compare(lostIsWorth, frameIsWorth) <= 0 }).toEqual({ seed, ok: true });
        }
      }
      const freed = dropped.reduce((sum, f) => sum + f.bytes, 0);
      expect({ seed, enough: freed >= wanted || kept.length === 0 }).toEqual({ seed, enough: true });
      const last = dropped.at(-1);
      if (last !== undefined) expect(freed - last.bytes).toBeLessThan(wanted);
    }
  });
});

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [i, x] of a.entries()) if (x !== b[i]) return x - (b[i] ?? 0);
  return 0;
}
