import { describe, expect, test } from "@jest/globals";
import { parseTrigger } from "./http-server.ts";
import { Triggers } from "./triggers.ts";

describe("external triggers", () => {
  test("the next frames, or all of the next seconds, of that camera alone", () => {
    const triggers = new Triggers();
    triggers.arm("front", { frames: 2 }, 0);
    expect([1, 2, 3].map((ms) => triggers.take("front", ms))).toEqual([true, true, false]);
    triggers.arm("front", { seconds: 1 }, 100);
    expect([triggers.take("back", 200), triggers.take("front", 1_099), triggers.take("front", 1_100)]).toEqual([
      false,
      true,
      false,
    ]);
  });

  test.each([
    ['{"cameraId":"a","frames":3}', { cameraId: "a", trigger: { frames: 3 } }],
    ['{"cameraId":"a","seconds":0.5}', { cameraId: "a", trigger: { seconds: 0.5 } }],
  ])("%s", (text, expected) => expect(parseTrigger(text)).toEqual(expected));

  test.each([
    "",
    "[]",
    "null",
    '{"cameraId":"a"}',
    '{"cameraId":"a","frames":0}',
    '{"cameraId":"a","frames":1,"seconds":1}',
    '{"cameraId":1,"frames":1}',
    '{"cameraId":"a","frames":1,"x":1}',
  ])("%s is refused with the shape that is wanted", (text) => expect(parseTrigger(text)).toMatch(/cameraId/));
});
