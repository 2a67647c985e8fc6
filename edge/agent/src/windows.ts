/**
 * One window of observations: moments of the device's metrics and, per camera, sketches of its inputs and outputs. Pure: fed
 * per frame, closed by the owner of the clock.
 *
 * A window with no frame still reports the device's health; a camera without a frame has no sketch.
 *
 * V1. A sketch is of one camera, one model and one temperature: otherwise the start of a new model would look like drift, and so
 *     would a policy whose temperature moves every confidence.
 * V2. The owner closes a window before a frame that it does not `fit`: two sketches of one camera would cover the same time. */
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
  readonly reference: ReferenceSketch;
  readonly latencyBudgetMs: number;
};

type OfModel = { readonly model: Pick<WindowModel, "modelDigest">; readonly metrics: MomentsByName };

type OfCamera = {
  readonly cameraId: string;
  readonly model: WindowModel;
  readonly temperature: number;
  readonly sketch: SketchWindow;
};

type Sketches = Omit<EdgeSketches, "deviceId" | "bootId" | "seq" | "ageMs" | "clockState">;

export type ClosedWindow = {
  readonly metrics: Pick<EdgeMetrics, "windowMs" | "device" | "models">;
  /** One for each camera with an answered frame. */
  readonly sketches: readonly Sketches[];
};

/** Models in one window; the contract's bound. What exceeds it is counted with none. */
const MODELS_MAX = 16;
/** Sketches in one window: each camera that a device may have, before and after a change of model. */
const SKETCHES_MAX = 128;

export class Windows {
  #openedMs: number;
  #device = new MomentsByName();
  #ofModels: OfModel[] = [];
  #ofCameras: OfCamera[] = [];

  constructor(nowMs: number) {
    this.#openedMs = nowMs;
  }

  /** V2. */
  fits(model: WindowModel, temperature: number): boolean {
    const last = this.#ofCameras.at(-1);
    return last === undefined || (last.model.modelDigest === model.modelDigest && last.temperature === temperature);
  }

  /** `temperature`: by which the answer was computed. */
  answered(model: WindowModel, temperature: number, answer: LocalAnswer, inference: Inference): void {
    this.answeredBeside(model, answer, inference);
    const camera = this.#ofCamera(answer.cameraId, model, temperature);
    if (camera !== undefined) observe(camera.sketch, model.reference, { ...answer, picture: inference.picture });
  }

  /** By a model that stands in for the camera's own, whose sketch it is no part of (V1). */
  answeredBeside(model: WindowModel, answer: LocalAnswer, inference: Inference): void {
    const moments = this.#of(model)?.metrics;
    if (moments === undefined) return;
    moments.add("answer_latency_ms", answer.latencyMs);
    moments.add("inference_latency_ms", inference.timingsMs.preprocess + inference.timingsMs.run);
    moments.add("confidence", answer.confidence);
    moments.add("escalated", answer.escalation === "QUEUED" ? 1 : 0);
    moments.add("dropped", answer.escalation === "DROPPED" ? 1 : 0);
    moments.add("sla_missed", answer.latencyMs > model.latencyBudgetMs ? 1 : 0);
  }

  /** Of a model, beside its answers. */
  ofModel(model: Pick<WindowModel, "modelDigest">, name: string, value: number): void {
    this.#of(model)?.metrics.add(name, value);
  }

  /** A reading of the device's health. */
  device(name: string, value: number): void {
    this.#device.add(name, value);
  }

  close(nowMs: number): ClosedWindow {
    const windowMs = nowMs - this.#openedMs;
    const models = this.#ofModels.map(({ model, metrics }) => ({
      modelDigest: model.modelDigest,
      metrics: metrics.read(),
    }));
    const sketches = this.#ofCameras.map(({ cameraId, model, temperature, sketch }) => ({
      windowMs,
      modelDigest: model.modelDigest,
      preprocessingDigest: "", // The package's own, which is a tenth of the record.
      histograms: sketch.histograms.map(({ feature, counts }) => ({
        feature,
        counts: Array.from(counts, (count) => BigInt(count)),
      })),
      labels: countsOf(sketch.labels),
      cameraId,
      temperature,
      grid: Array.from(sketch.grid, BigInt),
      encoders: countsOf(sketch.encoders),
      qualitySum: BigInt(sketch.quality),
      byClass: Object.fromEntries([...sketch.byClass].map(([label, sums]) => [label, Array.from(sums, BigInt)])),
    }));
    const closed: ClosedWindow = { metrics: { windowMs, device: this.#device.read(), models }, sketches };
    this.#openedMs = nowMs;
    this.#device = new MomentsByName();
    this.#ofModels = [];
    this.#ofCameras = [];
    return closed;
  }

  #of(model: Pick<WindowModel, "modelDigest">): OfModel | undefined {
    // One model nearly always, so the first look finds it.
    for (const of of this.#ofModels) if (of.model.modelDigest === model.modelDigest) return of;
    if (this.#ofModels.length >= MODELS_MAX) return undefined;
    const started: OfModel = { model, metrics: new MomentsByName() };
    this.#ofModels.push(started);
    return started;
  }

  #ofCamera(cameraId: string, model: WindowModel, temperature: number): OfCamera | undefined {
    for (const of of this.#ofCameras) {
      const isOfModel = of.model.modelDigest === model.modelDigest && of.temperature === temperature;
      if (isOfModel && of.cameraId === cameraId) return of;
    }
    if (this.#ofCameras.length >= SKETCHES_MAX) return undefined;
    const started: OfCamera = { cameraId, model, temperature, sketch: emptySketch(model.reference) };
    this.#ofCameras.push(started);
    return started;
  }
}

const countsOf = (counts: ReadonlyMap<string, number>): Record<string, bigint> =>
  Object.fromEntries([...counts].map(([key, count]) => [key, BigInt(count)]));
