import { describe, expect, test } from "@jest/globals";
import { dlqOf, PARTITIONS, topics, uplinkStreams } from "@tributary/contracts";
import { driftOf } from "./topic-drift.ts";
import { dlqTopicsOf, RECORD_BYTES_MAX, tributaryTopics } from "./tributary-topics.ts";

test("every topic of the contract with one partition count, and dead letters with their source's retention", () => {
  const specs = new Map(tributaryTopics().map((spec) => [spec.name, spec]));
  for (const topic of Object.values(topics)) {
    const spec = specs.get(topic.name);
    expect(spec).toMatchObject({ partitions: topic.partitions ?? PARTITIONS, replicationFactor: 1 });
    expect(spec?.config?.["cleanup.policy"]).toBe(topic.kind === "compacted" ? "compact" : "delete");
  }
  expect(specs.get("rollouts.events.v1")?.config).toMatchObject({ "retention.ms": "-1", "retention.bytes": "-1" });
  for (const topic of Object.values(uplinkStreams)) {
    const dlq = specs.get(dlqOf(topic.name, "bridge"));
    const keptMs = topic.kind === "events" ? topic.retentionMs : 7 * 86_400_000;
    expect(dlq?.config).toMatchObject({ "cleanup.policy": "delete", "retention.ms": String(keptMs) });
  }
  const settings = { partitions: 4, replicationFactor: 3 };
  for (const spec of dlqTopicsOf("router", settings)) expect(spec).toMatchObject(settings);
});

test("every acknowledged record is flushed with one or two replicas, in sync with three (tributary-topics.ts T1)", () => {
  const unflushed = (replicationFactor: number) =>
    tributaryTopics({ replicationFactor })
      .filter(({ config }) => config?.["flush.messages"] !== "1")
      .map(({ name }) => name);
  const byDeadline = ["cloud.requests.high.v1", "cloud.requests.normal.v1", "cloud.shadow.v1", "clock.probes.v1"];
  expect(unflushed(1)).toEqual(byDeadline);
  expect(unflushed(2)).toEqual(byDeadline);
  for (const { config } of tributaryTopics({ replicationFactor: 3 }))
    expect(config).toMatchObject({ "min.insync.replicas": "2", "flush.messages": "9223372036854775807" });
});

test.each([16, 64, 4_000])(
  "the byte bounds fit %i GiB of disk, dead letters included (tributary-topics.ts T2)",
  (gib) => {
    let sum = 0;
    for (const { name, partitions, config = {} } of tributaryTopics({ diskBytes: gib * 1024 ** 3 })) {
      if (config["cleanup.policy"] !== "delete" || name === "rollouts.events.v1") continue;
      expect(Number(config["retention.bytes"])).toBeGreaterThanOrEqual(RECORD_BYTES_MAX);
      expect(Number(config["segment.bytes"])).toBeGreaterThan(RECORD_BYTES_MAX);
      sum += partitions * Number(config["retention.bytes"]);
    }
    expect(sum / 1024 ** 3).toBeLessThanOrEqual(0.85 * gib);
  },
);

test("a laboratory scales what is kept of the topics that devices fill, and of no other", () => {
  const scaled = tributaryTopics({ retentionBytes: 4_194_304 }).filter(
    ({ config }, i) => config?.["retention.bytes"] !== tributaryTopics()[i]?.config?.["retention.bytes"],
  );
  expect(scaled.map(({ name }) => name)).toEqual([
    "edge.frames.v1",
    "edge.predictions.v1",
    "edge.metrics.v1",
    "edge.sketches.v1",
  ]);
  for (const { config } of scaled)
    expect(config).toMatchObject({ "retention.bytes": "4194304", "segment.bytes": String(RECORD_BYTES_MAX) });
});

test("Kafka stamps every record (tributary-topics.ts T3)", () => {
  for (const { config } of tributaryTopics()) expect(config?.["message.timestamp.type"]).toBe("LogAppendTime");
});

describe("a cluster's topics", () => {
  const facts = (change: Record<string, string>, replicationFactor = 1) => [
    { name: "edge.frames.v1", partitions: 2, replicationFactor, config: change },
    { name: "somebody-elses", partitions: 2, replicationFactor, config: { "flush.messages": "7" } },
  ];

  test("differ where they lose records or keep less, by the replicas they have", () => {
    expect(driftOf(facts({ "flush.messages": "1000", "retention.ms": "5" }))).toMatchObject([
      { setting: "retention.ms", have: "5", want: String(6 * 3_600_000), risk: "other" },
      { setting: "flush.messages", have: "1000", want: "1", risk: "lost-records" },
    ]);
    expect(driftOf(facts({ "min.insync.replicas": "1", "flush.messages": "1" }, 3))).toMatchObject([
      { setting: "min.insync.replicas", want: "2", risk: "lost-records" },
    ]);
    const offsets = { name: "__consumer_offsets", partitions: 4, replicationFactor: 1 };
    expect(driftOf([{ ...offsets, config: { "flush.messages": "9", "cleanup.policy": "compact" } }])).toHaveLength(1);
  });

  test("do not differ where they keep more or are bounded otherwise", () => {
    const config = { "retention.ms": "-1", "retention.bytes": "77", "max.message.bytes": "99999999" };
    expect(driftOf(facts({ ...config, "flush.messages": "1", "min.insync.replicas": "2" }))).toEqual([]);
    expect(driftOf(facts({ "retention.bytes": "-1" }))).toMatchObject([{ setting: "retention.bytes", risk: "other" }]);
  });
});
