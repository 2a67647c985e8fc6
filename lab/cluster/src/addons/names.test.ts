import { expect, test } from "@jest/globals";
import { answerOf, recordsOf } from "./names.ts";

const service = (name: string, clusterIP: string, more = {}) => ({
  metadata: { name, namespace: "tributary" },
  spec: { clusterIP, ...more },
});
const slice = (of: string, endpoints: object[]) => ({
  metadata: { namespace: "tributary", labels: { "kubernetes.io/service-name": of } },
  endpoints: endpoints as never,
});
const question = (name: string, type = 1): Buffer =>
  Buffer.concat([
    Buffer.from([7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ...name.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])),
    Buffer.from([0, 0, type, 0, 1]),
  ]);

const records = recordsOf(
  [
    service("gateway", "10.43.0.9"),
    service("kafka", "None", { publishNotReadyAddresses: true }),
    service("db", "None"),
  ],
  [
    slice("kafka", [{ addresses: ["10.42.0.7"], hostname: "kafka-0", conditions: { ready: false } }]),
    slice("db", [{ addresses: ["10.42.0.8"], conditions: { ready: false } }]),
  ],
  "cluster.local",
);

test("a service has its address; a headless one its endpoints', those that are not ready only where it wants them", () => {
  expect(Object.fromEntries(records)).toEqual({
    "gateway.tributary.svc.cluster.local": ["10.43.0.9"],
    "kafka.tributary.svc.cluster.local": ["10.42.0.7"],
    "kafka-0.kafka.tributary.svc.cluster.local": ["10.42.0.7"],
    "db.tributary.svc.cluster.local": [],
  });
});

test("an answer repeats id and question, and has the address; other types have none, unknown names do not exist", () => {
  const asked = question("Gateway.tributary.svc.cluster.local");
  const answer = answerOf(asked, records) as Buffer;
  expect(answer.subarray(0, 2)).toEqual(asked.subarray(0, 2));
  expect([answer.readUInt16BE(2) & 15, answer.readUInt16BE(6)]).toEqual([0, 1]);
  expect([...answer.subarray(-4)]).toEqual([10, 43, 0, 9]);
  const v6 = answerOf(question("gateway.tributary.svc.cluster.local", 28), records) as Buffer;
  expect([v6.readUInt16BE(2) & 15, v6.readUInt16BE(6)]).toEqual([0, 0]);
  const other = answerOf(question("example.org"), records) as Buffer;
  expect(other.readUInt16BE(2) & 15).toBe(3);
});

test.each([Buffer.alloc(3), Buffer.alloc(12, 200), question("gateway").subarray(0, 15)])(
  "what is no question has no answer",
  (bytes) => {
    expect(answerOf(bytes, records)).toBeUndefined();
  },
);
