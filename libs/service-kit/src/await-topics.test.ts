import { expect, test } from "@jest/globals";
import { systemClock } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { awaitTopics, type NeededTopic } from "./await-topics.ts";

function rig(partitions: (topic: string, now: number) => readonly number[]) {
  let now = 0;
  const reader: NeededTopic["reader"] = { partitions: async (topic) => partitions(topic, now) };
  const sleep = async (ms: number) => {
    now += ms;
  };
  return {
    needed: ["frames", "answers", "labels"].map((topic) => ({ topic, reader })),
    startMsMax: 10_000,
    clock: { ...systemClock, monotonicMs: () => now, sleep },
    random: () => 0.5,
    telemetry: createTelemetry({ service: "test", level: "silent", defaultMetrics: false }),
    signal: new AbortController().signal,
  };
}

test("a service waits until all its topics exist", async () => {
  const wait = rig((topic, now) => (topic === "labels" && now < 5_000 ? [] : [0]));
  await awaitTopics(wait);
  expect(wait.clock.monotonicMs()).toBeGreaterThanOrEqual(5_000);
});

test("and gives up with every reason, and the topics it holds for", async () => {
  const wait = rig((topic) => {
    if (topic === "answers") throw new Error("no broker");
    if (topic === "labels") throw new Error("Unknown topic or partition");
    return [];
  });
  await expect(awaitTopics(wait)).rejects.toMatchObject({
    code: "topics-unusable",
    message: expect.stringMatching(/no such topic \(frames, labels\); no broker \(answers\); create .*topics create$/),
  });
});
