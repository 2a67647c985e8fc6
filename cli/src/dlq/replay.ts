/**
 * Whether, and as what, a dead letter goes back to its source topic: pure.
 *
 * Y1. The original's bytes, key and headers come back; what the dead letter queue added is taken off.
 * Y2. A letter goes back only if today's code can use it: what would end here again stays, and is told.
 * Y3. A replayed record is marked. If it comes back as a letter it is not replayed again unless asked, so nothing loops.
 * Y4. Of what the bridge refused, only a schema it did not know then can be cured by waiting. The device's own bytes are
 *     framed as the bridge would have done; anything else the bridge refused was refused for good.
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
  if (letter.cut) return stay("cut", `only its first bytes are kept of ${letter.bytes}`);
  if (letter.replays > 0 && !again) {
    return stay("replayed-before", `it came back after ${letter.replays} replays; --again sends it once more`); // Y3
  }
  const topic = sourceTopicOf(letter.source) as Topic | undefined;
  if (topic === undefined) return stay("source-unknown", `${letter.source} is no topic of this version`);
  if (letter.record.headers[`${ERRORS}topic`] !== letter.source) {
    return stay("source-unknown", `it says it is of ${letter.record.headers[`${ERRORS}topic`] ?? "no topic"}`);
  }
  if (value === null) return stay("tombstone", "it has no value");
  if (letter.group === BRIDGE) return ofBridge(letter, topic, value);
  const fault = faultOf(topic, value);
  if (fault !== undefined) return stay("would-fail-again", fault); // Y2
  return { kind: "replay", record: recordOf(letter, value), reframed: false };
}

function ofBridge(letter: Letter, topic: Topic, value: Buffer): ReplayVerdict {
  if (letter.code !== CURABLE_AT_THE_BRIDGE) {
    return stay("refused-for-good", `the bridge refused it: ${letter.code}`); // Y4
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
