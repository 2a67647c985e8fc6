/** A task's frames through its packaged model: clean ones of all cameras, and those of the cameras that a fault meets. */
import type { EdgeSketches } from "@tributary/contracts";
import { addFrameGrid, classFeatures, FRAME_GRID, GRID_SUMS, SKETCH_BINS } from "@tributary/inference";
import type { Random } from "@tributary/kernel";
import type { Observed } from "../observed.ts";

type Sketched = Pick<EdgeSketches, "histograms" | "labels" | "grid" | "encoders" | "qualitySum" | "byClass">;

/** Draws frames of a set by the shares of their true classes; a class without frames in the set is left out. */
export class Frames {
  readonly #observed: Observed;
  readonly #byClass: readonly (readonly number[])[];
  readonly #labels: readonly string[];

  constructor(observed: Observed, set: string, labels: readonly string[]) {
    this.#observed = observed;
    this.#byClass = observed.framesOf(set);
    this.#labels = labels;
  }

  draw(random: Random, mix: readonly number[]): number {
    for (;;) {
      const frames = this.#byClass[classOf(random(), mix)] ?? [];
      if (frames.length > 0) return frames[Math.floor(random() * frames.length)] as number;
    }
  }

  /** What a device sends of a window of these frames. */
  sketch(frames: readonly number[]): Sketched {
    const { values, streams, features, labels: predicted, grids, qualities, encoders: encoderOf } = this.#observed;
    const sums = new Float64Array(GRID_SUMS);
    const encoders: Record<string, bigint> = {};
    const byClass: Record<string, bigint[]> = {};
    let quality = 0;
    const counts = Array.from({ length: features }, () => new Array<bigint>(SKETCH_BINS).fill(0n));
    const labels: Record<string, bigint> = {};
    for (const frame of frames) {
      const label = this.#labels[predicted[frame] as number] as string;
      for (let f = 0; f < features; f++) {
        const value = values[frame * streams.length + f] as number;
        const bin = Math.round(value * SKETCH_BINS - 0.5);
        const ofFeature = counts[f] as bigint[];
        ofFeature[bin] = (ofFeature[bin] as bigint) + 1n;
        const place = (classFeatures as readonly string[]).indexOf(streams[f] as string);
        if (place < 0) continue;
        byClass[label] ??= classFeatures.map(() => 0n);
        const ofClass = byClass[label];
        ofClass[place] = (ofClass[place] as bigint) + BigInt(bin);
      }
      addFrameGrid(sums, grids.subarray(frame * FRAME_GRID, (frame + 1) * FRAME_GRID));
      const encoder = encoderOf[frame] as string;
      encoders[encoder] = (encoders[encoder] ?? 0n) + 1n;
      quality += qualities[frame] as number;
      labels[label] = (labels[label] ?? 0n) + 1n;
    }
    return {
      histograms: counts.map((ofFeature, f) => ({ feature: streams[f] as string, counts: ofFeature })),
      labels,
      grid: Array.from(sums, BigInt),
      encoders,
      qualitySum: BigInt(quality),
      byClass,
    };
  }
}

export function classOf(lot: number, mix: readonly number[]): number {
  let rest = lot;
  for (const [place, share] of mix.entries()) {
    rest -= share;
    if (rest < 0) return place;
  }
  return mix.length - 1;
}
