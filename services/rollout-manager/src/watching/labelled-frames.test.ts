import { expect, test } from "@jest/globals";
import { LabelledFrames } from "./labelled-frames.ts";

const name = (i: number) => `device-${i % 977}:5497558138881:cam:${i}`;

test("no labelled frame is missed, others hardly ever are taken for one, and what is forgotten is known to be", () => {
  const labelled = new LabelledFrames(10_000);
  for (let i = 0; i < 10_000; i++) labelled.add(name(i), i);
  const missed = Array.from({ length: 10_000 }, (_, i) => i).filter((i) => {
    return !labelled.spans(name(i)).some(({ from, to }) => from <= i && i <= to);
  });
  expect(missed).toEqual([]);
  const mistaken = Array.from({ length: 20_000 }, (_, i) => name(100_000 + i)).filter(
    (one) => labelled.spans(one).length > 0,
  );
  expect(mistaken.length).toBeLessThanOrEqual(1);
  expect(labelled.isForgotten(0)).toBe(false);
  for (let i = 10_000; i < 50_000; i++) labelled.add(name(i), i);
  expect([labelled.isForgotten(0), labelled.isForgotten(49_000)]).toEqual([true, false]);
  expect(labelled.spans(name(0))).toEqual([]);
  expect(labelled.spans(name(49_999))).toHaveLength(1);
  expect(labelled.bytes).toBeLessThanOrEqual(2 ** 18 * 4);
});
