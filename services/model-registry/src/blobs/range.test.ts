import { expect, test } from "@jest/globals";
import { rangeOf } from "./range.ts";

test.each([
  [undefined, { kind: "whole" }],
  ["bytes=0-", { kind: "part", range: { from: 0, to: 99 } }],
  ["bytes=40-", { kind: "part", range: { from: 40, to: 99 } }],
  ["bytes=40-49", { kind: "part", range: { from: 40, to: 49 } }],
  ["bytes=40-4000", { kind: "part", range: { from: 40, to: 99 } }],
  ["bytes=-10", { kind: "part", range: { from: 90, to: 99 } }],
  ["bytes=-1000", { kind: "part", range: { from: 0, to: 99 } }],
  ["bytes=-0", { kind: "outside" }],
  ["bytes=100-", { kind: "outside" }],
  ["bytes=9-3", { kind: "whole" }],
  ["bytes=1-2,5-6", { kind: "whole" }],
  ["bytes=-", { kind: "whole" }],
  ["frames=1-2", { kind: "whole" }],
  ["bytes=99999999999999999999-", { kind: "whole" }],
] as const)("%s of 100 bytes", (header, asked) => {
  expect(rangeOf(header, 100)).toEqual(asked);
});

test("of nothing there is no part", () => expect(rangeOf("bytes=0-", 0)).toEqual({ kind: "outside" }));
