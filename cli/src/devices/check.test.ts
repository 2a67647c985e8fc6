import { expect, test } from "@jest/globals";
import type { Device } from "@tributary/api";
import { answerOf, goldenWords, hasPassed, silenceWords } from "./check.ts";

const golden = (at: string, failed = 0, frames = 8) => ({ at, modelDigest: "ab", frames, failed });
const device = (more: object | null, checkRequestedAt: string | null = null) =>
  ({
    deviceId: "cam-1",
    lastSeenAt: "2026-11-28T10:00:00.000Z",
    checkRequestedAt,
    reported: more && { agentVersion: "0.2.0", reportedAt: "2026-11-28T10:00:05.000Z", ...more },
  }) as Device;

const before = device({ golden: golden("2026-11-28T04:00:00.000Z") });
const requested = device({ golden: golden("2026-11-28T04:00:00.000Z") }, "2026-11-28T10:00:00.000Z");

test("a check is answered by another run than before, reported after the request", () => {
  expect(answerOf(before, requested, requested)).toBeNull();
  const failed = device({ golden: golden("2026-11-28T10:00:03.000Z", 8) });
  expect(answerOf(before, requested, failed)).toMatchObject({ failed: 8 });
  const older = device({ golden: golden("2026-11-28T09:59:00.000Z"), reportedAt: "2026-11-28T09:59:59.000Z" });
  expect(answerOf(before, requested, older)).toBeNull();
  // A device whose clock was set back answers all the same.
  expect(answerOf(before, requested, device({ golden: golden("1970-01-01T00:00:09.000Z") }))).not.toBeNull();
});

test("only frames that were run and reproduced are a pass", () => {
  expect([golden("x"), golden("x", 1), golden("x", 0, 0)].map(hasPassed)).toEqual([true, false, false]);
  expect(goldenWords(device({ golden: golden("T", 3) }))).toBe("3 of 8 NOT reproduced (T)");
});

test("without an answer, the message names what is wrong", () => {
  expect(silenceWords(device(null), 60)).toContain("has never reported");
  expect(silenceWords(device({}), 60)).toContain(
    "agent 0.2.0, last seen 2026-11-28T10:00:00.000Z) does not report golden",
  );
  expect(silenceWords(before, 60)).toContain("did not answer within 60 s");
});
