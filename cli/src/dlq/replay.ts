/**
 * Whether a dead letter can be replayed to its source topic, and as which record: pure.
 *
 * Y1. The original's bytes, key and headers are restored; headers of the dead letter queue are removed.
 * Y2. A letter is replayed only if the current code can use it: one that would fail again is kept, and reported.
 * Y3. A replayed record is marked. If it fails again it is not replayed again unless `again` is set, so nothing loops.
 * Y4. Of the bridge's rejections, only an unknown schema can be repaired later. The device's own bytes are
 *     framed as the bridge would have done; all other rejections are permanent.
 */
import {
  ContractError,
  frameConfluent,
  openConfluent,
  openSingleObject,
  readDeviceId,
  type Topic,
} from "@tributary/contracts";
import type { OutRecord } from "@tributary/kafka";
import { ERRORS, type Letter, REPLAYED_FROM, REPLAYS, sourceTopicOf } from "./letter.ts";

export type ReplayVerdict =
  | { readonly kind: "replay"; readonly record: OutRecord; readonly reframed: boolean }
  | { readonly kind: "stay"; readonly code: StayCode; readonly why: string };

export type StayCode =
  | "cut"
  | "replayed-before"
  | "source-unknown"
  | "refused-for-good"
  | "would-fail-again"
  | "tombstone";

const BRIDGE = "bridge";
const CURABLE_AT_THE_BRIDGE = "schema-unknown-fingerprint";
const BRIDGE_HEADERS = "tributary.mqtt.";

export function judgeReplay(letter: Letter, again: boolean): ReplayVerdict {
  const { value } = letter.record;
  if (letter.cut) return stay("cut", `only the first of its ${letter.bytes} bytes are stored`);
  if (letter.replays > 0 && !again) {
    return stay("replayed-before", `it failed again after ${letter.replays} replays; --again replays it once more`); // Y3
  }
  const topic = sourceTopicOf(letter.source) as Topic | undefined;
  if (topic === undefined) return stay("source-unknown", `${letter.source} is not a topic of this version`);
  if (letter.record.headers[`${ERRORS}topic`] !== letter.source) {
    return stay("source-unknown", `it names topic ${letter.record.headers[`${ERRORS}topic`] ?? "no topic"}`);
  }
  if (value === null) return stay("tombstone", "it has no value");
  if (letter.group === BRIDGE) return ofBridge(letter, topic, value);
  const fault = faultOf(topic, value);
  if (fault !== undefined) return stay("would-fail-again", fault); // Y2
  return { kind: "replay", record: recordOf(letter, value), reframed: false };
}

function ofBridge(letter: Letter, topic: Topic, value: Buffer): ReplayVerdict {
  if (letter.code !== CURABLE_AT_THE_BRIDGE) {
    return stay("refused-for-good", `the bridge rejected it: ${letter.code}`); // Y4
  }
  try {
    const { fingerprint, payload } = openSingleObject(value);
    const version = topic.codec.versionByFingerprint(fingerprint);
    topic.codec.decode(payload, version);
    if (readDeviceId(payload) !== letter.key) return stay("refused-for-good", "the record is of another device");
    return { kind: "replay", record: recordOf(letter, frameConfluent(version.id, payload)), reframed: true };
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    return stay("would-fail-again", error.message);
  }
}

function faultOf(topic: Topic, value: Buffer): string | undefined {
  try {
    openConfluent(value);
    topic.codec.decodeConfluent(value);
    return undefined;
  } catch (error) {
    if (error instanceof ContractError) return error.message;
    throw error;
  }
}

/** Y1, Y3 */
function recordOf(letter: Letter, value: Buffer): OutRecord {
  const kept = Object.entries(letter.record.headers).filter(
    ([name]) =>
      !name.startsWith(ERRORS) && !name.startsWith(BRIDGE_HEADERS) && name !== REPLAYS && name !== REPLAYED_FROM,
  );
  return {
    topic: letter.source,
    key: letter.key,
    value,
    headers: {
      ...Object.fromEntries(kept),
      [REPLAYS]: String(letter.replays + 1),
      [REPLAYED_FROM]: letter.id,
    },
  };
}

const stay = (code: StayCode, why: string): ReplayVerdict => ({ kind: "stay", code, why });
