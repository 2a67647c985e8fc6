import { describe, expect, test } from "@jest/globals";
import { CloudRequest, EdgeFrame, frameConfluent, frameSingleObject, topics } from "@tributary/contracts";
import { deadLetterRecord, type InRecord, letterOf as letterFrom } from "@tributary/kafka";
import { someFrame, someRequest } from "@tributary/testing";
import { dlqTopics, type Letter, letterOfRecord, matchesWhere, placeOf } from "./letter.ts";
import { judgeReplay } from "./replay.ts";

const topicOf = (name: string) => {
  const topic = dlqTopics.find((one) => one.name === name);
  if (topic === undefined) throw new Error(name);
  return topic;
};
const source = { partition: 3, offset: 17n, key: "cam-1", headers: { ce_id: "x", traceparent: "t" } };

/** As the consumer or the bridge writes it. */
function letterOf(topic: string, group: string, value: Buffer, code: string, wholeBytesMax = 1e6): Letter {
  const error = Object.assign(new Error("why"), { code });
  const out = deadLetterRecord(letterFrom({ ...source, topic, value }, error), group, wholeBytesMax);
  const record: InRecord = {
    topic: out.topic,
    partition: 1,
    offset: 5n,
    key: out.key,
    value: out.value,
    timestamp: 1e12,
    headers: out.headers ?? {},
  };
  return letterOfRecord(topicOf(out.topic), record);
}
const verdictOf = (letter: Letter, again = false): string => {
  const verdict = judgeReplay(letter, again);
  return verdict.kind === "stay" ? verdict.code : verdict.reframed ? "reframed" : "replay";
};

const request = CloudRequest.encodeConfluent(someRequest());
const REQUESTS = topics.requestsHigh.name;
const FRAMES = topics.frames.name;

describe("a dead letter", () => {
  test("is replayed with its bytes, key and headers, and a mark (Y1, Y3)", () => {
    const letter = letterOf(REQUESTS, "cloud-classifier", request, "schema-unknown-id");
    expect(letter).toMatchObject({ id: `${REQUESTS}.cloud-classifier.dlq/1@5`, sourcePosition: `${REQUESTS}/3@17` });
    expect(judgeReplay(letter, false)).toEqual({
      kind: "replay",
      reframed: false,
      record: {
        topic: REQUESTS,
        key: "cam-1",
        value: request,
        headers: { ...source.headers, "tributary.replays": "1", "tributary.replayed.from": letter.id },
      },
    });
  });

  test("that failed again is kept, unless --again is set; marks do not accumulate (Y3)", () => {
    const first = judgeReplay(letterOf(REQUESTS, "cloud-classifier", request, "x"), false);
    if (first.kind !== "replay") throw new Error("stays");
    const { value, headers = {}, key } = first.record;
    const error = Object.assign(new Error("again"), { code: "x" });
    const out = deadLetterRecord(letterFrom({ topic: REQUESTS, key, value, headers }, error), "cloud-classifier", 1e6);
    const record = { ...out, partition: 0, offset: 9n, timestamp: 1e12, headers: out.headers ?? {} } as InRecord;
    const back = letterOfRecord(topicOf(out.topic), record);
    expect([back.replays, verdictOf(back)]).toEqual([1, "replayed-before"]);
    expect(judgeReplay(back, true)).toMatchObject({ record: { headers: { "tributary.replays": "2", ce_id: "x" } } });
  });

  test.each([
    ["cut", letterOf(REQUESTS, "cloud-classifier", Buffer.alloc(2_000), "x", 1_000)],
    ["would-fail-again", letterOf(REQUESTS, "cloud-classifier", Buffer.from("not Avro"), "framing-unknown")],
    ["would-fail-again", letterOf(REQUESTS, "cloud-classifier", request.subarray(0, 40), "record-truncated")],
    ["would-fail-again", letterOf(REQUESTS, "cloud-classifier", frameConfluent(999, request.subarray(5)), "x")],
    ["source-unknown", letterOf("edge.unknown.v1", "bridge", request, "topic-unknown")],
  ])("%s: stays (Y2)", (code, letter) => {
    expect(verdictOf(letter)).toBe(code);
  });

  test("of the bridge is replayed only if its schema was not known, framed for Kafka (Y4)", () => {
    const bytes = (deviceId: string) => EdgeFrame.encode({ ...someFrame(), deviceId });
    const value = (deviceId: string) => frameSingleObject(EdgeFrame.current.fingerprint, bytes(deviceId));
    const refused = (deviceId: string, code: string) => letterOf(FRAMES, "bridge", value(deviceId), code);
    const good = refused("cam-1", "schema-unknown-fingerprint");
    const { id } = EdgeFrame.versionByFingerprint(EdgeFrame.current.fingerprint);
    expect(judgeReplay(good, false)).toMatchObject({
      reframed: true,
      record: { topic: FRAMES, value: frameConfluent(id, bytes("cam-1")) },
    });
    expect(verdictOf(refused("cam-2", "schema-unknown-fingerprint"))).toBe("refused-for-good");
    expect(verdictOf(refused("cam-1", "jpeg-corrupt"))).toBe("refused-for-good");
    const unknown = frameSingleObject("00".repeat(8), bytes("cam-1"));
    expect(verdictOf(letterOf(FRAMES, "bridge", unknown, "schema-unknown-fingerprint"))).toBe("would-fail-again");
  });
});

test("places and conditions", () => {
  const name = `${REQUESTS}.cloud-classifier.dlq`;
  expect(placeOf(`tributary.${name}`, "tributary.")?.topic.group).toBe("cloud-classifier");
  expect(placeOf(`${name}/3@12`, "tributary.")).toMatchObject({ partition: 3, offset: 12n });
  for (const wrong of [REQUESTS, `${name}/3`, `${name}@1`, `${name}/x@1`, ""])
    expect(placeOf(wrong, "")).toBeUndefined();
  const letter = letterOf(REQUESTS, "cloud-classifier", request, "x");
  expect(matchesWhere(letter, { code: "x", key: "cam-1" })).toBe(true);
  expect(matchesWhere(letter, { code: "y" })).toBe(false);
});
