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

test("a policy that can be named is in force only if it is, is listed once, and is unlisted by a tombstone", async () => {
  const [current, named] = [somePolicy(), somePolicy({ policyVersion: "ef".repeat(32), createdAt: 2e12 })];
  const kafka = new MemoryKafka();
  kafka.put(topics.policies, policyKey(current.modelDigest, current.cloudTarget), current);
  for (const policy of [named, current]) kafka.put(topics.policyVersions, policy.policyVersion, policy);
  const stop = new AbortController();
  const table = new PolicyTable();
  await (await table.follow(followContext(kafka, stop.signal))).caughtUp;
  expect(table.list()).toMatchObject([{ policy: { policyVersion: current.policyVersion } }]);
  expect(table.versions().map(({ policy, inForce }) => [policy.policyVersion, inForce])).toEqual([
    [named.policyVersion, false],
    [current.policyVersion, true],
  ]);
  kafka.put(topics.policyVersions, named.policyVersion, null);
  const again = new PolicyTable();
  await (await again.follow(followContext(kafka, stop.signal))).caughtUp;
  expect(again.versions()).toHaveLength(1);
  expect([again.isNamed(named.policyVersion), again.version(named.policyVersion)]).toMatchObject([false, {}]);
  stop.abort();
});

test("of more than 1,000 policies those that were read first can no longer be named; those in force stay", () => {
  const table = new PolicyTable();
  table.add(somePolicy());
  const version = (i: number) => `${i}`.padStart(64, "0");
  for (let i = 0; i <= 1_000; i++) table.name(somePolicy({ policyVersion: version(i) }));
  expect([0, 1, 1_000].map((i) => table.isNamed(version(i)))).toEqual([false, true, true]);
  expect(table.versions()).toHaveLength(1_001);
  expect(table.list()).toHaveLength(1);
});
