/** Mean, deviation and scale of a trainer's tensors, from ours of the same pictures: where both have the same pixels, each channel of
 * theirs is a straight line of ours, and least squares give its slope and its start. Pure. */
import type { Preprocessing } from "@tributary/inference";
import { type Json, type Reading, written } from "./readings.ts";

export type TensorPair = { readonly ours: Float32Array; readonly theirs: Float32Array };

/** `differences`: "image_mean of channel 1 is 0.7 here, 0.5 in the trainer's tensors". */
export type FittedReading = Reading & { readonly differences: string };

/** Relative to the size of what is compared: a fit of pixels that differ by their rounding is as near. */
const ALIKE = 0.002;
const DIGITS = 4;

/** Of pixels from 0 to 255. */
type Line = { readonly scale: number; readonly offset: number };
type Normalisation = { readonly mean: number; readonly std: number };
type Change = { readonly change: Json; readonly differences: string };

/** The file that makes their tensors, if their pixels are ours; null where theirs do not grow with ours, or are described as they are. */
export function fittedReading(
  config: Json,
  preprocessing: Preprocessing,
  pairs: readonly TensorPair[],
): FittedReading | null {
  const ours = preprocessing.scale.map((scale, i): Line => ({ scale, offset: preprocessing.offset[i] as number }));
  const theirs = ours.map((_, channel) => lineOf(channel, preprocessing, pairs));
  if (!areGrowing(theirs)) return null;
  const factor = config.do_rescale === false ? 1 : ((config.rescale_factor as number | undefined) ?? 1 / 255);
  const found = otherScale(ours, theirs, factor) ?? otherNormalisation(config, ours, theirs, factor);
  if (found === null) return null;
  const { change, differences } = found;
  return {
    what: written(change),
    changes: Object.keys(change).length,
    config: { ...config, ...change },
    differences,
  };
}

const areGrowing = (lines: readonly (Line | null)[]): lines is readonly Line[] =>
  lines.every((line) => line !== null && line.scale > 0);

function lineOf(channel: number, { scale, offset, layout }: Preprocessing, pairs: readonly TensorPair[]): Line | null {
  const [step, start] = [scale[channel] as number, offset[channel] as number];
  let [count, x, y, xx, xy] = [0, 0, 0, 0, 0];
  for (const { ours, theirs } of pairs) {
    if (ours.length !== theirs.length) return null;
    const area = ours.length / scale.length;
    const [from, by] = layout === "channels_first" ? [channel * area, 1] : [channel, scale.length];
    for (let i = 0, at = from; i < area; i++, at += by) {
      const pixel = ((ours[at] as number) - start) / step;
      const value = theirs[at] as number;
      x += pixel;
      y += value;
      xx += pixel * pixel;
      xy += pixel * value;
    }
    count += area;
  }
  const spread = xx - (x * x) / count;
  if (!(spread > 0)) return null;
  const slope = (xy - (x * y) / count) / spread;
  return { scale: slope, offset: (y - slope * x) / count };
}

/** The same offsets, and scales that are all the same multiple. */
function otherScale(ours: readonly Line[], theirs: readonly Line[], factor: number): Change | null {
  const ratios = theirs.map(({ scale }, channel) => scale / (ours[channel] as Line).scale);
  const ratio = ratios.reduce((sum, one) => sum + one, 0) / ratios.length;
  const isOne = theirs.every(
    ({ offset, scale }, channel) =>
      Math.abs((ratios[channel] as number) / ratio - 1) < ALIKE &&
      Math.abs(offset - (ours[channel] as Line).offset) < ALIKE * 255 * scale,
  );
  if (!isOne || Math.abs(ratio - 1) < ALIKE) return null;
  const wanted = factorNear(factor * ratio);
  return {
    change: wanted === 1 ? { do_rescale: false } : { do_rescale: true, rescale_factor: wanted },
    differences: `pixels are multiplied by ${shownFactor(factor)} here, by ${shownFactor(wanted)} in the trainer's tensors`,
  };
}

function otherNormalisation(
  config: Json,
  ours: readonly Line[],
  theirs: readonly Line[],
  factor: number,
): Change | null {
  const here = ours.map((line) => normalisationOf(line, factor));
  const there = theirs.map((line) => normalisationOf(line, factor));
  const isOther = {
    mean: there.map(({ mean, std }, i) => Math.abs(mean - (here[i] as Normalisation).mean) > ALIKE * std),
    std: there.map(({ std }, i) => Math.abs(std / (here[i] as Normalisation).std - 1) > ALIKE),
  };
  const others = (["mean", "std"] as const).filter((key) => isOther[key].includes(true));
  if (others.length === 0) return null;
  const isNormalised = config.do_normalize !== false;
  // What is not normalised has neither.
  const keys = isNormalised ? others : (["mean", "std"] as const);
  const values = (key: "mean" | "std") =>
    there.map((one, i) => (isOther[key][i] ? rounded(one, key) : (here[i] as Normalisation)[key]));
  const differences = others.flatMap((key) =>
    there.flatMap((one, i) => {
      if (!isOther[key][i]) return [];
      const described = rounded(here[i] as Normalisation, key);
      return `image_${key} of channel ${i + 1} is ${described} here, ${rounded(one, key)} in the trainer's tensors`;
    }),
  );
  return {
    change: {
      ...(!isNormalised && { do_normalize: true }),
      ...Object.fromEntries(keys.map((key) => [`image_${key}`, values(key)])),
    },
    differences: differences.join("; "),
  };
}

const normalisationOf = ({ scale, offset }: Line, factor: number): Normalisation => ({
  mean: (-offset * factor) / scale,
  std: factor / scale,
});

function rounded(one: Normalisation, key: "mean" | "std"): number {
  return Math.abs(one[key]) < (ALIKE * one.std) / 2 ? 0 : Number(one[key].toPrecision(DIGITS));
}

/** 1, or 1 over a whole number, where it is that near. */
function factorNear(factor: number): number {
  const whole = Math.round(1 / factor);
  return whole >= 1 && Math.abs(factor * whole - 1) < ALIKE ? 1 / whole : Number(factor.toPrecision(DIGITS));
}

function shownFactor(factor: number): string {
  const whole = Math.round(1 / factor);
  return whole > 1 && Math.abs(factor * whole - 1) < ALIKE ? `1/${whole}` : String(Number(factor.toPrecision(DIGITS)));
}
