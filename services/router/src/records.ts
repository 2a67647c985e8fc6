/** What the router writes: answers, requests, and the states it can restart from. */
import { Classifications, CloudRequest, RouterState, topics } from "@tributary/contracts";
import { cloudEventHeaders, type OutRecord } from "@tributary/kafka";
import { formatFrameId, type Instant } from "@tributary/kernel";
import type { DeviceSnapshot, Lane } from "@tributary/settlement";

const SOURCE = "/tributary/router";

export function answerRecord(record: Classifications, now: Instant): OutRecord {
  const first = record.answers[0];
  const of = first === undefined ? record.deviceId : formatFrameId({ ...record, ...first });
  const traceparent = record.answers.length === 1 ? first?.traceparent : null;
  return {
    topic: topics.classifications.name,
    key: record.deviceId,
    value: Classifications.encodeConfluent(record),
    headers: headersOf(`${of}:answer`, "tributary.v1.Classifications", now, traceparent),
  };
}

export const requestTopic = (lane: Lane): string =>
  (lane === "high" ? topics.requestsHigh : topics.requestsNormal).name;

export function requestRecord(lane: Lane, request: CloudRequest, now: Instant): OutRecord {
  return {
    topic: requestTopic(lane),
    key: request.deviceId,
    value: CloudRequest.encodeConfluent(request),
    headers: headersOf(`${formatFrameId(request)}:request`, "tributary.v1.CloudRequest", now, request.traceparent),
    timestamp: now,
  };
}

export type StateOffsets = {
  /** The device's answers below this offset are known to its state. */
  readonly known: bigint;
  /** All devices' answers below this one are known to states stored before. */
  readonly replayFrom: bigint;
};

export function stateRecord(snapshot: DeviceSnapshot, offsets: StateOffsets, now: Instant): OutRecord {
  const { deviceId } = snapshot;
  const state: RouterState = {
    deviceId,
    classificationsOffset: offsets.known,
    replayFrom: offsets.replayFrom,
    savedAt: now,
    windows: snapshot.windows.map((window) => ({
      ...window,
      bitmap: bufferOf(window.bitmap),
      digests: bufferOf(window.digests),
    })),
    frames: snapshot.frames.map((frame) => ({
      ...frame,
      answer:
        frame.answer && Classifications.encodeConfluent({ deviceId, bootId: frame.bootId, answers: [frame.answer] }),
    })),
  };
  return { topic: topics.routerState.name, key: deviceId, value: RouterState.encodeConfluent(state), timestamp: now };
}

export const forgottenStateRecord = (deviceId: string, now: Instant): OutRecord => ({
  topic: topics.routerState.name,
  key: deviceId,
  value: null,
  timestamp: now,
});

export function snapshotOf(state: RouterState): DeviceSnapshot {
  return {
    deviceId: state.deviceId,
    windows: state.windows.map((window) => ({
      ...window,
      stream: window.stream === "frames" ? "frames" : "predictions",
    })),
    frames: state.frames.map((frame) => {
      const answer = frame.answer && Classifications.decodeConfluent(frame.answer).answers[0];
      return { ...frame, answer: answer ?? null };
    }),
  };
}

const headersOf = (id: string, type: string, time: Instant, traceparent: string | null | undefined) =>
  cloudEventHeaders({ id, source: SOURCE, type, time, ...(traceparent != null && { traceparent }) });

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
