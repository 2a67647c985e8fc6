/** Builds the uplink records from stored rows. The same row, `seq` and time give the same bytes. */
import {
  ContractError,
  DeviceReported,
  EdgeFrame,
  EdgeMetrics,
  EdgePredictions,
  EdgeSketches,
} from "@tributary/contracts";
import { type Age, ageOf, type DeviceTime, reportedAgeMs } from "./age.ts";
import type { DecidedBy, ReportStream } from "./rows.ts";
import type { FrameRow, PredictionRow, ReportRow } from "./store.ts";

export type Sender = { readonly deviceId: string; readonly bootId: bigint; readonly seq: bigint };

const clockStateOf = (wallMs: number | null) => (wallMs === null ? "UNSYNCHRONIZED" : "SYNCHRONIZED");

export function frameRecord(sender: Sender, row: FrameRow, jpeg: Uint8Array, now: DeviceTime): Uint8Array {
  const { latencyMs: _, wouldSend: __, worldDigest: ___, context: ____, ...body } = row.body;
  return EdgeFrame.encodeSingleObject({
    ...sender,
    ...body,
    level: body.level ?? "FULL",
    frameSeq: BigInt(body.frameSeq),
    ageMs: reportedAgeMs(ageOf(row.captured, now), row.body.deadlineMs),
    clockState: clockStateOf(row.captured.wallMs),
    jpeg: Buffer.from(jpeg.buffer, jpeg.byteOffset, jpeg.byteLength),
    ...row.decidedBy,
    traceparent: row.traceparent,
  });
}

export function predictionsRecord(
  sender: Sender,
  decidedBy: DecidedBy,
  rows: readonly PredictionRow[],
  now: DeviceTime,
): Uint8Array {
  return EdgePredictions.encodeSingleObject({
    ...sender,
    ...decidedBy,
    clockState: clockStateOf(now.wallMs),
    predictions: rows.map((row) => ({
      ...row.body,
      // An earlier version of the agent wrote the row.
      wouldSend: row.body.wouldSend ?? null,
      level: row.body.level ?? "FULL",
      worldDigest: row.body.worldDigest ?? null,
      context: row.body.context ?? null,
      frameSeq: BigInt(row.body.frameSeq),
      ageMs: reportedAgeMs(ageOf(row.captured, now), row.body.deadlineMs),
      escalation: row.escalation,
      dropReason: row.dropReason,
    })),
    traceparent: null,
  });
}

/** A report's body as JSON; bigints travel as `{"$long": "123"}`. */
export const reportBody = (body: unknown): string =>
  JSON.stringify(body, (_, value) => (typeof value === "bigint" ? { $long: value.toString() } : value));

const parseBody = (text: string): Record<string, unknown> =>
  JSON.parse(text, (_, value) =>
    value !== null && typeof value === "object" && "$long" in value ? BigInt(value.$long) : value,
  );

export function reportRecord(sender: Sender, row: ReportRow, now: DeviceTime): Uint8Array {
  const body = { ...parseBody(row.body), ...sender, clockState: clockStateOf(now.wallMs) };
  const ageMs = ageOf(row.closed, now).ageMs;
  switch (row.stream) {
    case "metrics":
      return EdgeMetrics.encodeSingleObject({ ...body, ageMs } as unknown as EdgeMetrics);
    case "sketches":
      return EdgeSketches.encodeSingleObject({ ...body, ageMs } as unknown as EdgeSketches);
    case "reported":
      return DeviceReported.encodeSingleObject(body as unknown as DeviceReported);
    default:
      return row.stream satisfies never;
  }
}

/**
 * A record for its resend: the same except for its ages, which have grown by `since` (unknown: a prediction's is then past its
 * deadline). A record that this agent cannot read, since a newer one wrote it before a rollback, is sent unchanged: the bridge
 * may know it, and it must not block those behind it (G8).
 */
export function agedRecord(stream: ReportStream | "predictions", payload: Uint8Array, since: Age): Uint8Array {
  try {
    return aged(stream, payload, since);
  } catch (error) {
    if (error instanceof ContractError) return payload;
    throw error;
  }
}

function aged(stream: ReportStream | "predictions", payload: Uint8Array, since: Age): Uint8Array {
  const older = (ageMs: number) => ageMs + since.ageMs;
  switch (stream) {
    case "predictions": {
      const batch = EdgePredictions.decodeSingleObject(payload);
      const predictions = batch.predictions.map((one) => {
        const ageMs = reportedAgeMs({ ageMs: older(one.ageMs), known: since.known }, one.deadlineMs);
        return { ...one, ageMs };
      });
      return EdgePredictions.encodeSingleObject({ ...batch, predictions });
    }
    case "metrics": {
      const window = EdgeMetrics.decodeSingleObject(payload);
      return EdgeMetrics.encodeSingleObject({ ...window, ageMs: older(window.ageMs) });
    }
    case "sketches": {
      const window = EdgeSketches.decodeSingleObject(payload);
      return EdgeSketches.encodeSingleObject({ ...window, ageMs: older(window.ageMs) });
    }
    case "reported":
      return payload;
    default:
      return stream satisfies never;
  }
}
