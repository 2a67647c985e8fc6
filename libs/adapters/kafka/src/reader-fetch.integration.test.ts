import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Consumer } from "@platformatic/kafka";
import { systemClock } from "@tributary/kernel";
import { testKafka, waitFor } from "@tributary/testing";
import { KafkajsAdmin } from "./admin.ts";
import { KafkajsSink } from "./kafkajs-sink.ts";
import { Cursor } from "./reader-cursor.ts";
import { FetchLoops } from "./reader-fetch.ts";

const connection = { ...testKafka(), clientId: "reader-fetch-test" };
const admin = new KafkajsAdmin(connection);
const sink = new KafkajsSink(connection);

beforeAll(async () => {
  await admin.ensure(["a", "b"].map((name) => ({ name, partitions: 1 })));
  await sink.send(["a", "b"].map((topic) => ({ topic, key: "k", value: Buffer.from(topic) })));
});
afterAll(async () => {
  await sink.close();
  await admin.close();
});

test("a read that starts while older metadata is awaited is not forgotten, whichever comes first", async () => {
  const client = new Consumer({
    clientId: connection.clientId,
    groupId: `${connection.prefix}unused`,
    bootstrapBrokers: [...connection.brokers],
  });
  const metadata = client.metadata.bind(client) as (options: { topics: string[] }) => ReturnType<Consumer["metadata"]>;
  const nameOf = (topic: string) => connection.prefix + topic;
  // What names b is known already; the rest is asked of the broker, which takes its time.
  await metadata({ topics: [nameOf("b")] });
  const slow = {
    metadata: async (options: { topics: string[] }) => {
      if (!options.topics.includes(nameOf("b"))) await systemClock.sleep(300);
      return metadata(options);
    },
    clearMetadata: () => client.clearMetadata(),
  } as unknown as Consumer;
  const loops = new FetchLoops(slow, {
    clientId: connection.clientId,
    unavailableMsMax: 10_000,
    clock: systemClock,
    telemetry: undefined,
  });
  const read = async (topic: string) => {
    const cursor = new Cursor({ topic, name: nameOf(topic), partition: 0, from: 0n, until: 1n });
    loops.add(cursor);
    await waitFor(() => cursor.finished, { what: `the record of ${topic}` });
    loops.remove(cursor);
    return String(cursor.take()?.value);
  };
  try {
    for (let i = 0; i < 3; i++) {
      // Behind the first the loop looks for more, by metadata that do not know of the second.
      expect(await read("a")).toBe("a");
      expect(await read("b")).toBe("b");
    }
  } finally {
    await loops.close();
    await client.close(true);
  }
});
