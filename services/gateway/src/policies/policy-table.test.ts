import { expect, test } from "@jest/globals";
import { policyKey, topics } from "@tributary/contracts";
import { followContext, MemoryKafka, somePolicy } from "@tributary/testing";
import { PolicyTable } from "./policy-table.ts";

test("a policy whose record became a tombstone is in force no more, but still explains", async () => {
  const policy = somePolicy();
  const key = policyKey(policy.modelDigest, policy.cloudTarget);
  const kafka = new MemoryKafka();
  for (const value of [policy, null]) kafka.put(topics.policies, key, value);
  const stop = new AbortController();
  const table = new PolicyTable();
  await (await table.follow(followContext(kafka, stop.signal))).caughtUp;
  expect([table.list(), table.get(key)]).toEqual([[], undefined]);
  expect(table.version(policy.policyVersion)).toMatchObject({ scoreMin: policy.scoreMin });
  stop.abort();
});
