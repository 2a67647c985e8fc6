import { expect, test } from "@jest/globals";
import { type Classifications, policyKey, type RoutingPolicy, type Topic, topics } from "@tributary/contracts";
import type { InRecord, PartitionReader } from "@tributary/kafka";
import { systemClock } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { someAnswer, somePolicy } from "@tributary/testing";
import { answersOf } from "./answers/answer.ts";
import { follow } from "./follower.ts";
import { PolicyTable } from "./policies/policy-table.ts";

/** One partition that holds these values; a read beyond them waits. */
function logOf<T>(topic: Topic<T>, values: readonly (T | null)[], key: string) {
  const stop = new AbortController();
  const records = values.map((value, i): InRecord => {
    const encoded = value === null ? null : topic.codec.encodeConfluent(value);
    return { topic: topic.name, partition: 0, offset: BigInt(i), key, value: encoded, headers: {}, timestamp: 1e12 };
  });
  const reader: PartitionReader = {
    partitions: async () => [0],
    offsets: async () => ({ earliest: 0n, next: BigInt(records.length) }),
    async *read(_topic, _partition, { from = 0n, until } = {}) {
      yield* records.slice(Number(from));
      if (until === undefined) await new Promise((resolve) => stop.signal.addEventListener("abort", resolve));
    },
    close: async () => {},
  };
  const telemetry = createTelemetry({ service: "test", level: "silent", defaultMetrics: false });
  return { stop, context: { reader, telemetry, clock: systemClock, random: () => 0, signal: stop.signal }, telemetry };
}

test("a record that nobody can take is counted and skipped; those behind it are read, each once (F3, G8)", async () => {
  const record = (label: string): Classifications => ({
    deviceId: "d",
    bootId: 1n,
    answers: [someAnswer({ label, capturedAt: 8.9e15 })], // no date can be that
  });
  const { stop, context, telemetry } = logOf(topics.classifications, ["cat", "poison", "dog"].map(record), "d");
  const seen: string[] = [];
  const following = await follow(context, {
    topic: topics.classifications,
    onRecord: (value, at) => {
      const [answer] = answersOf(value, at);
      if (answer?.label === "poison") throw new RangeError("unforeseen");
      seen.push(`${answer?.label} ${answer?.capturedAt}`);
    },
  });
  await following.caughtUp;
  expect(seen).toEqual(["cat null", "dog null"]);
  expect(await telemetry.metrics()).toMatch(/unreadable_records_total\{.*code="record-unusable".*\} 1/);
  stop.abort();
  await following.ended;
});

test("a policy whose record became a tombstone is in force no more, but still explains", async () => {
  const policy = somePolicy();
  const key = policyKey(policy.modelDigest, policy.cloudTarget);
  const { stop, context } = logOf<RoutingPolicy>(topics.policies, [policy, null], key);
  const table = new PolicyTable();
  const following = await table.follow(context);
  await following.caughtUp;
  expect([table.list(), table.get(key)]).toEqual([[], undefined]);
  expect(table.version(policy.policyVersion)).toMatchObject({ scoreMin: policy.scoreMin });
  stop.abort();
  await following.ended;
});
