import { describe, expect, test } from "@jest/globals";
import type { FinalAnswer } from "@tributary/contracts";
import { cifarLabels, someAnswer, someBootId } from "@tributary/testing";
import { type Answer, answersOf } from "../answers/answer.ts";
import { LabelCandidates } from "./candidates.ts";
import { judgeLabel } from "./check-label.ts";

const answerOf = (change: Partial<FinalAnswer>): Answer =>
  answersOf(
    { deviceId: "cam-01", bootId: someBootId, answers: [someAnswer(change)] },
    { partition: 0, offset: 1n, timestamp: 1e12 },
  )[0] as Answer;

describe("a label", () => {
  const frameId = `cam-01:${someBootId}:cam:1`;
  const found = { kind: "found", answer: answerOf({ cloudLabel: "lynx" }) } as const;
  const judge = (label: string | null, classes: readonly string[] | undefined = cifarLabels) =>
    judgeLabel({ frameId, label }, found, classes, false);

  test("is of a class of the frame's model, of the cloud's answer, or none (L2)", () => {
    for (const label of ["cat", "lynx", null]) expect(judge(label)).toEqual({ kind: "take", checked: true });
    expect(judgeLabel({ frameId, label: "anything" }, found, undefined, false).kind).toBe("take");
    expect(judge("Air-plane")).toMatchObject({ code: "label-unknown", message: expect.stringContaining('"airplane"') });
    expect(judge("zebra")).toMatchObject({ code: "label-unknown", message: expect.stringContaining("ship, truck") });
    expect(judge(" ")).toMatchObject({ code: "label-empty" });
  });

  test("of a frame that is not known is refused, unless allowed (L1)", () => {
    const label = { frameId, label: "cat" };
    expect(judgeLabel(label, { kind: "absent" }, undefined, false)).toMatchObject({ code: "frame-unknown" });
    expect(judgeLabel(label, { kind: "bounded" }, undefined, false)).toMatchObject({ code: "frame-search-bounded" });
    expect(judgeLabel(label, { kind: "absent" }, undefined, true)).toEqual({ kind: "take", checked: false });
  });
});

test("frames worth a label: samples before disagreements, newest first, bounded, gone once labelled (N1, N2)", () => {
  const candidates = new LabelCandidates(2);
  const offer = (frameSeq: bigint, change: Partial<FinalAnswer>) => candidates.offer(answerOf({ frameSeq, ...change }));
  offer(1n, { sampleDrawn: true });
  offer(2n, { edgeLabel: "cat", cloudLabel: "dog" });
  offer(3n, { edgeLabel: "cat", cloudLabel: "cat" });
  offer(4n, { sampleDrawn: true, edgeLabel: "cat", cloudLabel: "dog" });
  offer(5n, {});
  offer(6n, { sampleDrawn: true });
  const next = (limit = 10) => candidates.next({}, limit).map(({ why, answer }) => `${why} ${answer.frameSeq}`);
  expect(next()).toEqual(["SAMPLE 6", "SAMPLE 4", "DISAGREEMENT 2"]);
  candidates.drop(`cam-01:${someBootId}:cam:4`);
  expect(next(2)).toEqual(["SAMPLE 6", "DISAGREEMENT 2"]);
  expect(candidates.next({ why: "DISAGREEMENT", deviceId: "cam-02" }, 9)).toEqual([]);
});
