/** What the system answered, folded from the records of devices, router and labellers, whichever is read first. */
import { describe, expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { RolloutController } from "@tributary/rollouts";
import { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import {
  MemoryKafka,
  silentTelemetry,
  someAnswer,
  someBootId,
  somePrediction,
  somePredictions,
} from "@tributary/testing";
import { MetricsFold } from "./metrics-fold.ts";

const T0 = 20_000 * 86_400_000;
const policyVersion = "7c".repeat(32);
const signal = new AbortController().signal;

const drawn = { sampleDrawn: true, samplePropensity: 0.02 };
const records = {
  /** Asked, and would have been without the sample. */
  prediction: (log: MemoryKafka, timestamp: number) => {
    const prediction = somePrediction({ ...drawn, label: "dog", reason: "AMBIGUOUS", wouldSend: true, ageMs: 1 });
    const batch = somePredictions({ deviceId: "d", policyVersion, predictions: [prediction] });
    log.put(topics.predictions, "d", batch, { timestamp });
  },
  answer: (log: MemoryKafka, timestamp: number) => {
    const answers = [
      someAnswer({ ...drawn, policyVersion, label: "cat", edgeLabel: "dog", settledBy: "CLOUD_ANSWER", latencyMs: 1 }),
    ];
    log.put(topics.classifications, "d", { deviceId: "d", bootId: someBootId, answers }, { timestamp });
  },
  label: (log: MemoryKafka, timestamp: number) => {
    const by = {
      source: "PERSON",
      labelledBy: "ann",
      labelledAt: T0,
      labelSet: null,
      comment: null,
      frameAt: null,
    } as const;
    const truth = { deviceId: "d", bootId: someBootId, cameraId: "cam", frameSeq: 1n, label: "cat", ...by };
    log.put(topics.groundTruth, "d", truth, { timestamp });
  },
} as const;

async function foldedIn(order: readonly (keyof typeof records)[]): Promise<FleetMetrics> {
  const [log, fleet] = [new MemoryKafka(), new FleetMetrics()];
  for (const [i, what] of order.entries()) records[what](log, T0 + 1_000 * i + 500);
  const fold = new MetricsFold({
    reader: log,
    fleet,
    experiments: new RolloutController(fleet).experiments,
    telemetry: silentTelemetry(),
    propensityMean: 0.02,
    limits: { drawnFramesMax: 10, labelsWaitingMax: 10, labelledFramesMax: 10 },
    limitsOf: () => undefined,
    createdAt: () => undefined,
    noted: () => {},
    onRecord: () => {},
  });
  await fold.start(T0, T0);
  for (let round = 1; round <= order.length; round++) await fold.foldTo(T0 + 1_000 * round, T0, signal);
  return fleet;
}

describe("a labelled frame that the cloud answered, and the device not as well", () => {
  test.each([
    [["prediction", "answer", "label"]],
    [["answer", "prediction", "label"]],
    [["prediction", "label", "answer"]],
    [["label", "answer", "prediction"]],
    [["answer", "label", "prediction"]],
    [["label", "prediction", "answer"]],
  ] as const)("counts once for the system and once for the model, read in the order %s", async (order) => {
    const fleet = await foldedIn(order);
    const rates = ["system-accuracy", "accuracy", "escalated", "in-time"].map((metric) => fleet.rateOf("d", metric));
    expect(rates).toEqual([1, 0, 1, 1]);
  });
});
