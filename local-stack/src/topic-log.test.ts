/** A record that is no Avro, or is Avro of another topic, once ended the verifier of a whole run. */
import { expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import type { PartitionReader } from "@tributary/kafka";
import { somePredictions } from "@tributary/testing";
import { Accountant } from "./account.ts";
import { replay } from "./topic-log.ts";

test("poison is counted and passed over, and what stands behind it is read (L1)", async () => {
  const predictions = somePredictions();
  const good = topics.predictions.codec.encodeConfluent(predictions);
  const values = [Buffer.from("poison"), Buffer.alloc(0), good, good.subarray(0, 7), null, good];
  async function* read() {
    for (const value of values) yield { value, timestamp: 0 };
  }
  const accountant = new Accountant([], [predictions.deviceId]);
  await replay(
    { read } as unknown as PartitionReader,
    accountant,
    { [topics.predictions.name]: [0n] },
    {
      until: { [topics.predictions.name]: [6n] },
    },
  );
  const { unreadable, bytesSent } = accountant.account();
  expect([unreadable, bytesSent]).toEqual([3, 2 * good.length]);
});
