import { expect, test } from "@jest/globals";
import { systemClock } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { awaitTopics, type TopicsWait } from "./await-topics.ts";

const HOUR_MS = 3_600_000;

function rig(partitions: (topic: string, now: number) => readonly number[]) {
  let now = 0;
  const sleeps: number[] = [];
  const lines: string[] = [];
  const reasons: string[] = [];
  const wait: TopicsWait = {
    topics: ["frames", "answers", "labels"],
    reader: { partitions: async (topic) => partitions(topic, now), offsetsAt: async () => new Map() },
    onWait: (reason) => reasons.push(reason),
    clock: {
      ...systemClock,
      monotonicMs: () => now,
      sleep: async (ms) => {
        sleeps.push(ms);
        now += ms;
      },
    },
    random: () => 1,
    telemetry: createTelemetry({
      service: "test",
      level: "warn",
      defaultMetrics: false,
      write: (line) => lines.push(line),
    }),
    signal: new AbortController().signal,
  };
  return { wait, sleeps, lines, reasons };
}

test("a service waits for an hour, and goes on soon after the last topic exists", async () => {
  const { wait, sleeps } = rig((topic, now) => (topic === "labels" && now < HOUR_MS ? [] : [0]));
  await awaitTopics(wait);
  const now = wait.clock.monotonicMs();
  expect(now).toBeGreaterThanOrEqual(HOUR_MS);
  expect(now).toBeLessThanOrEqual(HOUR_MS + Math.max(...sleeps));
  expect(Math.max(...sleeps)).toBeLessThanOrEqual(2_000);
});

test("it says each reason with its topics, and logs one that stays twice a minute", async () => {
  const { wait, lines, reasons } = rig((topic, now) => {
    if (now >= HOUR_MS) return [0];
    if (topic === "answers") throw new Error("no broker");
    if (topic === "labels") throw new Error("Unknown topic or partition");
    return [];
  });
  await awaitTopics(wait);
  expect(reasons[0]).toMatch(
    /^Kafka: no such topic; create it with: .* \(frames, labels\); Kafka: no broker \(answers\)$/,
  );
  expect(reasons.length).toBeGreaterThan(1_000);
  expect(lines.length).toBeLessThanOrEqual(121);
});

test("a Kafka that does not answer is named, without a list of topics", async () => {
  const { wait, reasons } = rig((_topic, now) => {
    if (now < 1_000) throw new Error("connect ECONNREFUSED 10.0.0.9:9092");
    return [0];
  });
  await awaitTopics(wait);
  expect(reasons[0]).toBe("Kafka cannot be used: connect ECONNREFUSED 10.0.0.9:9092");
});
