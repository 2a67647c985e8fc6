/** The fold's notes as telemetry. */
import type { Effects, Note } from "@tributary/routing/settlement";
import type { Telemetry } from "@tributary/telemetry";
import {
  answersKnown,
  cloudReturned,
  duplicateIgnored,
  frameLeft,
  frameRefused,
  frameSettled,
  holesGivenUp,
  memoryBounded,
  requestWritten,
  resultIgnored,
  shareExceeded,
} from "./events.ts";

/** Emitted once the effects are stored, so that the counts are of answers that exist. */
export function emitNotes(effects: Effects, telemetry: Telemetry): void {
  for (const { lane, request } of effects.requests) {
    const { reason, traceparent } = request;
    telemetry.emit(requestWritten, { lane, reason, traceparent });
  }
  for (const note of effects.notes) emitNote(note, telemetry);
}

function emitNote(note: Note, telemetry: Telemetry): void {
  switch (note.kind) {
    case "settled": {
      const { source, settledBy, reason, latencyMs, traceparent } = note.answer;
      telemetry.emit(frameSettled, { source, settledBy, reason, latencyMs, traceparent });
      break;
    }
    case "duplicate":
      telemetry.emit(duplicateIgnored, { stream: note.stream, deviceId: note.deviceId });
      break;
    case "alreadyAnswered":
      telemetry.emit(answersKnown, { deviceId: note.deviceId, frames: note.frames });
      break;
    case "resultIgnored":
      telemetry.emit(resultIgnored, { why: note.why, deviceId: note.deviceId });
      break;
    case "refused":
      telemetry.emit(frameRefused, { why: note.why, deviceId: note.deviceId });
      break;
    case "unfair":
      telemetry.emit(shareExceeded, { why: note.why, deviceId: note.deviceId });
      break;
    case "leftToPrediction":
      telemetry.emit(frameLeft, { deviceId: note.deviceId });
      break;
    case "evicted":
      telemetry.emit(memoryBounded, { what: note.what, deviceId: note.deviceId });
      break;
    case "holes":
      telemetry.emit(holesGivenUp, { stream: note.stream, deviceId: note.deviceId, records: note.records });
      break;
    case "cloudLatency":
      telemetry.emit(cloudReturned, { outcome: note.outcome, latencyMs: note.latencyMs });
      break;
    default:
      note satisfies never;
  }
}
