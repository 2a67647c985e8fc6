import { expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { MemoryKafka, somePrediction, somePredictions } from "@tributary/testing";
import { loggedFrames } from "./kafka-log.ts";

test("a record that was written again is one record: its frames count once", async () => {
  const kafka = new MemoryKafka();
  for (const seq of [1n, 2n, 1n, 3n, 2n]) {
    const prediction = somePrediction({ frameSeq: seq, samplePropensity: 0.1, sampleDrawn: true });
    kafka.put(topics.predictions, "device-1", somePredictions({ seq, predictions: [prediction] }));
  }
  const frames: string[] = [];
  const range = { target: "default", since: 0, signal: new AbortController().signal, unreadable: () => {} };
  for await (const { frameId } of loggedFrames(kafka, range)) frames.push(frameId.split(":").at(-1) ?? "");
  expect(frames).toEqual(["1", "2", "3"]);
});
