/** Final answers of records as the public API shows them. */
import type { Answer } from "@tributary/api";
import type { Classifications, FinalAnswer } from "@tributary/contracts";
import { formatFrameId } from "@tributary/kernel";

export type Stored = { readonly partition: number; readonly offset: bigint; readonly timestamp: number };

export const answersOf = (record: Classifications, at: Stored): Answer[] =>
  record.answers.map((answer) => answerOf(record, answer, at));

function answerOf(record: Classifications, answer: FinalAnswer, at: Stored): Answer {
  const { deviceId, bootId } = record;
  return {
    ...answer,
    frameId: formatFrameId({ deviceId, bootId, cameraId: answer.cameraId, frameSeq: answer.frameSeq }),
    deviceId,
    bootId: `${bootId}`,
    frameSeq: `${answer.frameSeq}`,
    costMicros: Number(answer.costMicros),
    capturedAt: isoOf(answer.capturedAt),
    answeredAt: new Date(at.timestamp).toISOString(),
    partition: at.partition,
    offset: `${at.offset}`,
  };
}

/** Null also for what no date can be: a device's clock may be anywhere. */
export const isoOf = (ms: number | null): string | null =>
  ms === null || Math.abs(ms) > 8.64e15 ? null : new Date(ms).toISOString();
