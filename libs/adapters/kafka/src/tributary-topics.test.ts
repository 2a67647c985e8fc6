import { expect, test } from "@jest/globals";
import { dlqOf, PARTITIONS, topics, uplinkStreams } from "@tributary/contracts";
import { dlqTopicsOf, tributaryTopics } from "./tributary-topics.ts";

test("every topic of the contract with one partition count, and dead letters with their source's retention", () => {
  const specs = new Map(tributaryTopics().map((spec) => [spec.name, spec]));
  for (const topic of Object.values(topics)) {
    const spec = specs.get(topic.name);
    expect(spec).toMatchObject({ partitions: topic.partitions ?? PARTITIONS, replicationFactor: 1 });
    expect(spec?.config?.["cleanup.policy"]).toBe(topic.kind === "compacted" ? "compact" : "delete");
  }
  expect(specs.get("classifications.v1")?.config?.["message.timestamp.type"]).toBe("LogAppendTime");
  expect(specs.get("edge.frames.v1")?.config?.["message.timestamp.type"]).toBe("CreateTime");
  expect(specs.get("rollouts.events.v1")?.config).toMatchObject({ "retention.ms": "-1", "retention.bytes": "-1" });
  for (const topic of Object.values(uplinkStreams)) {
    const dlq = specs.get(dlqOf(topic.name, "bridge"));
    const keptMs = topic.kind === "events" ? topic.retentionMs : 7 * 86_400_000;
    expect(dlq?.config).toMatchObject({ "cleanup.policy": "delete", "retention.ms": String(keptMs) });
  }
  const settings = { partitions: 4, replicationFactor: 3 };
  for (const spec of dlqTopicsOf("router", settings)) expect(spec).toMatchObject(settings);
});
