/** Frames, their answers and labels in a log, and what is folded of them. */
import { type GroundTruth, topics } from "@tributary/contracts";
import type { PartitionReader } from "@tributary/kafka";
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

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const T0 = 20_000 * 24 * HOUR;
const signal = new AbortController().signal;
const policyVersion = "7c".repeat(32);
export const classes = ["cat", "dog", "bird"];

export type Frame = { readonly deviceId: string; readonly frameSeq: bigint; readonly at: number };

export class Log extends MemoryKafka {
  /** `draw`: what is known of the frame. */
  frame({ deviceId, frameSeq, at }: Frame, draw: { label?: string; samplePropensity?: number } = {}): void {
    const drawn = { frameSeq, sampleDrawn: true, samplePropensity: 0.02, label: "cat", ageMs: 0, ...draw };
    const predictions = [somePrediction({ ...drawn, reason: "AMBIGUOUS", wouldSend: true })];
    const batch = somePredictions({ deviceId, seq: frameSeq, policyVersion, predictions });
    this.put(topics.predictions, deviceId, batch, { timestamp: at });
  }

  answer({ deviceId, frameSeq, at }: Frame, label: string): void {
    const drawn = {
      frameSeq,
      sampleDrawn: true,
      samplePropensity: 0.02,
      policyVersion,
      settledBy: "CLOUD_ANSWER",
    } as const;
    const answers = [someAnswer({ ...drawn, label, latencyMs: 0 })];
    this.put(topics.classifications, deviceId, { deviceId, bootId: someBootId, answers }, { timestamp: at });
  }

  label({ deviceId, frameSeq, at: frameAt }: Frame, label: string | null, at: number): void {
    const by = { source: "PERSON", labelledBy: "ann", labelledAt: at, labelSet: null, comment: null } as const;
    const truth: GroundTruth = { deviceId, bootId: someBootId, cameraId: "cam", frameSeq, label, frameAt, ...by };
    this.put(topics.groundTruth, deviceId, truth, { timestamp: at });
  }
}

/** `from`: when the analysis starts. */
type Folding = { readonly from?: number; readonly to: number; readonly everyMs?: number; readonly limits?: object };

export async function folded(
  log: PartitionReader,
  devices: readonly string[],
  { from = T0, to, everyMs = MINUTE, limits = {} }: Folding,
) {
  const [fleet, telemetry] = [new FleetMetrics(), silentTelemetry()];
  const metrics = ["accuracy", "system-accuracy"];
  fleet.start({ uid: "u", startedAt: from, control: devices.slice(1), canary: devices.slice(0, 1), metrics, classes });
  const fold = new MetricsFold({
    reader: log,
    fleet,
    experiments: new RolloutController(fleet).experiments,
    telemetry,
    propensityMean: 0.02,
    limits: { drawnFramesMax: 50, labelsWaitingMax: 50, labelledFramesMax: 1_000, ...limits },
    limitsOf: () => undefined,
    createdAt: () => undefined,
    noted: () => {},
    onRecord: () => {},
  });
  const untilDone = async (work: () => Promise<void>) => {
    for (let tries = 0; ; tries++) {
      try {
        return await work();
      } catch (error) {
        if (tries === 200) throw error;
      }
    }
  };
  await untilDone(() => fold.start(from, from));
  for (let at = from + everyMs; at <= to; at += everyMs) await untilDone(() => fold.foldTo(at, at, signal));
  const analysis = fleet.analysis("u");
  const armsOf = ({ control, canary }: NonNullable<ReturnType<NonNullable<typeof analysis>["counts"]>>) =>
    [canary, control].map(({ good, frames, sample }) => ({
      good: Array.from(good),
      frames: Array.from(frames),
      labels: Array.from(sample?.labels ?? []),
      squares: Array.from(sample?.squares ?? []),
      badSquares: Array.from(sample?.badSquares ?? []),
    }));
  const counts = [...metrics.map((metric) => analysis?.counts(metric)), ...(analysis?.classCounts() ?? [])];
  const arms = counts.flatMap((of) => (of === undefined ? [] : [armsOf(of)]));
  const labels = sum(arms[0]?.flatMap((arm) => arm.labels) ?? []);
  const good = sum(arms[0]?.flatMap((arm) => arm.good) ?? []);
  return {
    arms,
    labels,
    good,
    rate: fleet.rateOf(devices[0] as string, "accuracy"),
    metrics: await telemetry.metrics(),
  };
}

const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);
export const namesOf = (count: number) => Array.from({ length: count }, (_, i) => `device-${i}`);
export const outcome = (metrics: string, name: string) =>
  Number(new RegExp(`rollout_labels_total\\{outcome="${name}"\\} (\\d+)`).exec(metrics)?.[1] ?? 0);
