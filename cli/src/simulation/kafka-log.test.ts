import { expect, test } from "@jest/globals";
import { EdgePredictions, topics } from "@tributary/contracts";
import type { KafkaReader } from "@tributary/kafka";
import { somePrediction, somePredictions } from "@tributary/testing";
import { loggedFrames } from "./kafka-log.ts";

test("a record that was written again is one record: its frames count once", async () => {
  const batch = (seq: bigint) =>
    EdgePredictions.encodeConfluent(
      somePredictions({
        seq,
        predictions: [somePrediction({ frameSeq: seq, samplePropensity: 0.1, sampleDrawn: true })],
      }),
    );
  const records = [batch(1n), batch(2n), batch(1n), batch(3n), batch(2n)];
  const reader = {
    partitions: async () => [0],
    offsets: async (topic: string) => ({ earliest: 0n, next: topic === topics.predictions.name ? 5n : 0n }),
    offsetAt: async () => 0n,
    read: async function* () {
      for (const value of records) yield { value };
    },
  } as unknown as KafkaReader;
  const frames: string[] = [];
  const range = { target: "default", since: 0, signal: new AbortController().signal, unreadable: () => {} };
  for await (const { frameId } of loggedFrames(reader, range)) frames.push(frameId.split(":").at(-1) ?? "");
  expect(frames).toEqual(["1", "2", "3"]);
});
