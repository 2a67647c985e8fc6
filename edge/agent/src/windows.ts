/**
 * One window of what the device saw: moments of its metrics and sketches of its inputs and outputs. Pure: fed per frame,
 * closed by whoever owns the clock.
 *
 * V1. A window with no frame still tells the device's health; its sketch is left out.
 */
import type { EdgeMetrics, EdgeSketches } from "@tributary/contracts";
import { emptySketch, type Inference, observe, type ReferenceSketch, type SketchWindow } from "@tributary/inference";
import type { LocalAnswer } from "./pipeline.ts";

type Sums = { n: number; sum: number; sumSq: number };

export class MomentsByName {
  readonly #sums = new Map<string, Sums>();

  add(name: string, value: number): void {
    if (!Number.isFinite(value)) return;
    const sums = this.#sums.get(name) ?? { n: 0, sum: 0, sumSq: 0 };
    sums.n += 1;
    sums.sum += value;
    sums.sumSq += value * value;
    this.#sums.set(name, sums);
  }

  read(): EdgeMetrics["device"] {
    return Object.fromEntries([...this.#sums].map(([name, sums]) => [name, { ...sums, n: BigInt(sums.n) }]));
  }
}

export type WindowModel = {
  readonly modelDigest: string;
  readonly preprocessingDigest: string;
  readonly reference: ReferenceSketch;
  readonly latencyBudgetMs: number;
};

export type ClosedWindow = {
  readonly metrics: Pick<EdgeMetrics, "windowMs" | "device" | "models">;
  readonly sketches:
    | Pick<EdgeSketches, "windowMs" | "modelDigest" | "preprocessingDigest" | "histograms" | "labels">
    | undefined;
};

export class Windows {
  readonly #model: WindowModel;
  #openedMs: number;
  #device = new MomentsByName();
  #ofModel = new MomentsByName();
  #sketch: SketchWindow;

  constructor(model: WindowModel, nowMs: number) {
    this.#model = model;
    this.#openedMs = nowMs;
    this.#sketch = emptySketch(model.reference);
  }

  answered(answer: LocalAnswer, inference: Inference): void {
    const moments = this.#ofModel;
    moments.add("answer_latency_ms", answer.latencyMs);
    moments.add("inference_latency_ms", inference.timingsMs.preprocess + inference.timingsMs.run);
    moments.add("confidence", answer.confidence);
    moments.add("escalated", answer.escalation === "QUEUED" ? 1 : 0);
    moments.add("dropped", answer.escalation === "DROPPED" ? 1 : 0);
    moments.add("sla_missed", answer.latencyMs > this.#model.latencyBudgetMs ? 1 : 0);
    observe(this.#sketch, this.#model.reference, { ...answer, picture: inference.picture });
  }

  /** A reading of the device's health. */
  device(name: string, value: number): void {
    this.#device.add(name, value);
  }

  close(nowMs: number): ClosedWindow {
    const { modelDigest, preprocessingDigest } = this.#model;
    const windowMs = nowMs - this.#openedMs;
    const sketch = this.#sketch;
    const models = sketch.frames === 0 ? [] : [{ modelDigest, metrics: this.#ofModel.read() }];
    const closed: ClosedWindow = {
      metrics: { windowMs, device: this.#device.read(), models },
      sketches:
        sketch.frames === 0
          ? undefined // V1
          : {
              windowMs,
              modelDigest,
              preprocessingDigest,
              histograms: sketch.histograms.map(({ feature, counts }) => ({
                feature,
                counts: Array.from(counts, (count) => BigInt(count)),
              })),
              labels: Object.fromEntries([...sketch.labels].map(([label, count]) => [label, BigInt(count)])),
            },
    };
    this.#openedMs = nowMs;
    this.#device = new MomentsByName();
    this.#ofModel = new MomentsByName();
    this.#sketch = emptySketch(this.#model.reference);
    return closed;
  }
}
