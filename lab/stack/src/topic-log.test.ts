/** A record that is not Avro, or is Avro of another topic, once crashed the verifier of a whole run. */
import { expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { MemoryKafka, somePredictions } from "@tributary/testing";
import { Accountant } from "./account.ts";
import { marksOf, replay } from "./topic-log.ts";

test("a poison record is counted and skipped, and the following ones are read", async () => {
  const predictions = somePredictions();
  const good = topics.predictions.codec.encodeConfluent(predictions);
  const kafka = new MemoryKafka();
  const from = await marksOf(kafka);
  for (const value of [Buffer.from("poison"), Buffer.alloc(0), good, good.subarray(0, 7), null, good])
    kafka.write({ topic: topics.predictions.name, key: predictions.deviceId, value });
  const accountant = new Accountant([], [predictions.deviceId]);
  await replay(kafka, accountant, { from, until: await marksOf(kafka) });
  const { unreadable, bytesSent } = accountant.account();
  expect([unreadable, bytesSent]).toEqual([3, 2 * good.length]);
});
