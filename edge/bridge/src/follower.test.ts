import { expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import type { PartitionReader } from "@tributary/kafka";
import { systemClock } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { followTopic } from "./follower.ts";

test("whoever waits for a topic that is followed no more, waits no longer", async () => {
  const stop = new AbortController();
  const reader: PartitionReader = {
    partitions: async () => [0],
    offsets: async () => ({ earliest: 0n, next: 1n }),
    async *read() {
      await new Promise((resolve) => stop.signal.addEventListener("abort", resolve));
    },
    close: async () => {},
  };
  const telemetry = createTelemetry({ service: "test", level: "silent", defaultMetrics: false });
  const common = { reader, telemetry, clock: systemClock, random: () => 0, signal: stop.signal };
  const waiting = await followTopic({ ...common, topic: topics.registry, from: "start" }, () => {});
  const live = await followTopic({ ...common, topic: topics.registry, from: "now" }, () => {});
  await live.caughtUp;
  stop.abort();
  await expect(waiting.caughtUp).rejects.toMatchObject({ code: "follower-stopped" });
  await Promise.all([waiting.ended, live.ended, live.caughtUp]);
});
