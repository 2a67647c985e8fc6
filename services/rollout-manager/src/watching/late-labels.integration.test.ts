/** Late labels and corrections on a real Kafka, which finds records by their time. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { KafkajsAdmin, KafkajsSink, KafkaReader } from "@tributary/kafka";
import { testKafka } from "@tributary/testing";
import { type Frame, folded, HOUR, Log, MINUTE, namesOf, outcome } from "./late-labels.test-kit.ts";

const kafka = { ...testKafka(), clientId: "late-labels-test" };
const [reader, sink, admin] = [new KafkaReader(kafka), new KafkajsSink(kafka), new KafkajsAdmin(kafka)];

/** With the times of their writer, or all would be of now. */
beforeAll(async () => {
  const { predictions, metrics, classifications, groundTruth, observations } = topics;
  const read = [predictions, metrics, classifications, groundTruth, observations];
  const config = { "message.timestamp.type": "CreateTime" };
  await admin.ensure(read.map(({ name }) => ({ name, partitions: 4, config })));
}, 60_000);
afterAll(() => Promise.all([reader.close(), sink.close(), admin.close()]));

test("labels that come hours after their frames count, and are corrected, as in memory", async () => {
  const from = Math.floor(Date.now() / HOUR) * HOUR - 6 * HOUR;
  const devices = namesOf(8);
  const log = new Log({ partitions: 4 });
  const frames = Array.from({ length: 400 }, (_, i): Frame => {
    return { deviceId: devices[i % 8] as string, frameSeq: BigInt(i + 1), at: from + 1 + i * 30_000 };
  });
  for (const frame of frames) {
    log.frame(frame);
    log.answer(frame, "dog");
  }
  const labelled = frames.slice(0, 100);
  for (const frame of labelled) log.label(frame, "cat", from + 4 * HOUR + 1);
  for (const frame of labelled.slice(0, 40)) log.label(frame, "dog", from + 5 * HOUR + 1);
  await sink.send(log.written.map(({ topic, key, value, timestamp }) => ({ topic, key: key ?? "", value, timestamp })));
  const folding = { from, to: from + 5 * HOUR + 30 * MINUTE, everyMs: 10 * MINUTE, limits: { drawnFramesMax: 20 } };
  const { arms, metrics, labels, good } = await folded(reader, devices, folding);
  expect([labels, good, outcome(metrics, "late"), outcome(metrics, "corrected")]).toEqual([100, 60, 100, 40]);
  expect(arms).toEqual((await folded(log, devices, { ...folding, limits: { drawnFramesMax: 1_000 } })).arms);
}, 120_000);
