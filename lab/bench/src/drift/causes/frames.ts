/** A task's frames through its packaged model: clean ones of all cameras, and those of the cameras that a fault meets. */
import type { EdgeSketches } from "@tributary/contracts";
import { SKETCH_BINS } from "@tributary/inference";
import type { Random } from "@tributary/kernel";
import type { Observed } from "../observed.ts";

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
  sketch(frames: readonly number[]): Pick<EdgeSketches, "histograms" | "labels"> {
    const { values, streams, features, labels: predicted } = this.#observed;
    const counts = Array.from({ length: features }, () => new Array<bigint>(SKETCH_BINS).fill(0n));
    const labels: Record<string, bigint> = {};
    for (const frame of frames) {
      for (let f = 0; f < features; f++) {
        const value = values[frame * streams.length + f] as number;
        const bin = Math.round(value * SKETCH_BINS - 0.5);
        const ofFeature = counts[f] as bigint[];
        ofFeature[bin] = (ofFeature[bin] as bigint) + 1n;
      }
      const label = this.#labels[predicted[frame] as number] as string;
      labels[label] = (labels[label] ?? 0n) + 1n;
    }
    return {
      histograms: counts.map((ofFeature, f) => ({ feature: streams[f] as string, counts: ofFeature })),
      labels,
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
