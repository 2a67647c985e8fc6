import { expect, test } from "@jest/globals";
import { mqttTopics, parseMqttTopic } from "./mqtt.ts";

test.each(["tributary", "plant/4/tributary"])("topics under %s are read as they were made", (prefix) => {
  const topics = mqttTopics(prefix);
  expect(parseMqttTopic(topics.up("cam-1", "frames"), prefix)).toEqual({
    kind: "up",
    deviceId: "cam-1",
    stream: "frames",
    format: "avro",
  });
  expect(parseMqttTopic(topics.upJson("cam-1", "frames"), prefix)).toMatchObject({ stream: "frames", format: "json" });
  expect(parseMqttTopic(topics.policy("cam-1"), prefix)).toEqual({
    kind: "down",
    deviceId: "cam-1",
    channel: "policy",
    format: "avro",
  });
  expect(parseMqttTopic(topics.resultsJson("cam-1"), prefix)).toMatchObject({ channel: "results", format: "json" });
  expect(parseMqttTopic(topics.availability("cam-1"), prefix)).toEqual({ kind: "availability", deviceId: "cam-1" });
  for (const wrong of ["", "x", `${prefix}/v2/cam-1/up/frames`, `${prefix}/v1//up/frames`, `${prefix}/v1/cam-1/up`]) {
    expect(parseMqttTopic(wrong, prefix)).toBeUndefined();
  }
  expect(parseMqttTopic(`${prefix}/v1/cam-1/up/frames/xml`, prefix)).toBeUndefined();
  expect(parseMqttTopic(`${prefix}/v1/cam-1/up/frames/json/x`, prefix)).toBeUndefined();
  expect(parseMqttTopic(`${prefix}/v1/cam-1/sideways/frames`, prefix)).toBeUndefined();
});
