import { expect, test } from "@jest/globals";
import { LostRecords, recordsLost } from "./lost-records.ts";

test("a batch that begins behind what was committed or read has a gap, and none where records are only read again", () => {
  const lost = new LostRecords();
  expect(lost.gapBefore("t:0", 7n)).toBeUndefined(); // a group that never committed begins anywhere
  lost.started(new Map([["t:0", 10n]]));
  expect(lost.gapBefore("t:0", 10n)).toBeUndefined();
  lost.read("t:0", 19n);
  expect(lost.gapBefore("t:0", 15n)).toBeUndefined(); // not all of the last batch was processed
  lost.read("t:0", 29n);
  expect(lost.gapBefore("t:0", 50n)).toBe(30n);
  expect(lost.gapBefore("t:0", 50n)).toBeUndefined(); // counted once
});

test("of a partition that another member held, nothing is known", () => {
  const lost = new LostRecords();
  lost.started(
    new Map([
      ["t:0", 10n],
      ["t:1", 10n],
    ]),
  );
  lost.keepOnly((key) => key === "t:1");
  expect([lost.gapBefore("t:0", 99n), lost.gapBefore("t:1", 99n)]).toEqual([undefined, 10n]);
});

test("of a gap only what retention deleted is lost", () => {
  expect(recordsLost({ from: 30n, until: 50n }, 50n)).toBe(20);
  expect(recordsLost({ from: 30n, until: 50n }, 60n)).toBe(20);
  expect(recordsLost({ from: 30n, until: 50n }, 35n)).toBe(5);
  expect(recordsLost({ from: 30n, until: 50n }, 0n)).toBe(0);
});
