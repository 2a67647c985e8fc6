/** One half to pack on, the other to gate on. */
import { expect, test } from "@jest/globals";
import { halvesOf, type ValidationFrame } from "./frames.ts";

const framesOf = (count: number): readonly ValidationFrame[] =>
  Array.from({ length: count }, (_, i) => ({
    file: `${String(i).padStart(5, "0")}.jpg`,
    path: `/frames/${i}.jpg`,
    label: i % 7,
    slice: "base",
  }));

test("no frame that a package was made from is one that it is gated on, class by class, over seeds", () => {
  const frames = framesOf(701);
  for (let seed = 1; seed <= 20; seed++) {
    const { packing, gating } = halvesOf(frames, `seed-${seed}`);
    const packed = new Set(packing.map(({ file }) => file));
    expect(gating.filter(({ file }) => packed.has(file))).toEqual([]);
    expect(packing.length + gating.length).toBe(frames.length);
    for (let label = 0; label < 7; label++) {
      const of = (half: readonly ValidationFrame[]) => half.filter((frame) => frame.label === label).length;
      expect(Math.abs(of(packing) - of(gating))).toBeLessThanOrEqual(1);
    }
    expect(halvesOf([...frames].reverse(), `seed-${seed}`).packing).toHaveLength(packing.length);
  }
  expect(halvesOf(frames, "edge")).toEqual(halvesOf(frames, "edge"));
  expect(halvesOf(frames, "edge").packing).not.toEqual(halvesOf(frames, "cloud").packing);
});

test("each slice is halved by itself: another slice's frames change nothing about it", () => {
  const base = framesOf(701);
  const north = framesOf(75).map((frame) => ({ ...frame, file: `north/${frame.file}`, slice: "site=north" }));
  const alone = halvesOf(base, "run-1");
  const both = halvesOf([...north, ...base], "run-1");
  const of = (frames: readonly ValidationFrame[], slice: string) => frames.filter((frame) => frame.slice === slice);
  expect(of(both.gating, "base")).toEqual(alone.gating);
  expect([of(both.packing, "site=north").length, of(both.gating, "site=north").length]).toEqual([38, 37]);
});

test("too few for both halves are refused, with how many are needed", () => {
  expect(() => halvesOf(framesOf(199), "edge")).toThrow(/199 frames are too few .*; 200 are needed/);
  expect(halvesOf(framesOf(200), "edge").gating).toHaveLength(100);
});
