import { expect, test } from "@jest/globals";
import { someAnswer, someBootId } from "@tributary/testing";
import { answersOf } from "./answer.ts";
import { AnswerRing } from "./ring.ts";

const answer = (frameSeq: bigint, label: string, offset: bigint, deviceId = "d") => {
  const record = { deviceId, bootId: someBootId, answers: [someAnswer({ frameSeq, label })] };
  const [made] = answersOf(record, { partition: 0, offset, timestamp: 1_700_000_000_000 });
  if (made === undefined) throw new Error("no answer");
  return made;
};

test("the first answer of a frame stays, the oldest frames leave", () => {
  const ring = new AnswerRing(2);
  expect(ring.add(answer(1n, "cat", 1n))).toBe(true);
  expect(ring.add(answer(1n, "dog", 2n))).toBe(false);
  expect(ring.recent({}, 10)).toMatchObject([{ label: "cat", offset: "1", frameSeq: "1" }]);
  ring.add(answer(2n, "ship", 3n));
  ring.add(answer(3n, "frog", 4n));
  expect(ring.recent({}, 10).map((a) => a.label)).toEqual(["frog", "ship"]);
  expect(ring.recent({}, 1)).toHaveLength(1);
  expect(ring.recent({ source: "CLOUD" }, 10)).toEqual([]);
});

test("a device that answers often leaves the others their answers", () => {
  const ring = new AnswerRing(20);
  for (let i = 1n; i <= 5n; i++) ring.add(answer(i, "cat", i, "modest"));
  for (let i = 1n; i <= 500n; i++) ring.add(answer(i, "dog", 5n + i, "rogue"));
  expect(ring.size).toBe(20);
  expect(ring.recent({ deviceId: "modest" }, 10)).toHaveLength(5);
  expect(ring.recent({ deviceId: "rogue" }, 1)[0]?.frameSeq).toBe("500");
});
