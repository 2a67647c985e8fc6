/**
 * Base photos as the slice's cameras would show them: brightness and contrast of each channel, and sharpness, become those that the slice
 * has at the same rank. A dark site's photos teach most of the darkness, and a lens out of focus most of the blur; base photos that were
 * made as dark, or as soft, have labels already, many more than people gave the slice.
 *
 * Measured with labels of the slice beside it; where the slice differs otherwise (another mix of classes) nearly nothing is changed, as
 * its statistics are those of the base.
 */
import type { PictureSize } from "./augment.ts";

export type Appearance = {
  /** By channel, of 0 to 255. */
  readonly means: readonly number[];
  readonly deviations: readonly number[];
  /** Mean squared difference between neighbours, in variances: whatever the contrast, smaller where a picture is softer. */
  readonly roughness: number;
};

/** Sorted; the first two by channel. */
type Sorted = {
  readonly means: readonly Float64Array[];
  readonly deviations: readonly Float64Array[];
  readonly roughness: Float64Array;
};
export type AppearanceMatch = { readonly base: Sorted; readonly slice: Sorted };

/** Deviations below are a picture of one colour, which nothing can be scaled from. */
const DEVIATION_MIN = 1;
/** Share of the blurred picture in the softest; of what blurring takes away, what is added at most in the sharpest. */
const SOFTEST = 1;
const SHARPEST = -0.5;
const HALVINGS = 10;

/** `pixels`: interleaved, of `size`. */
export function appearanceOf(pixels: ArrayLike<number>, size: PictureSize): Appearance {
  const { differences, variances } = products(pixels, pixels, size);
  return { ...channelStatistics(pixels, size.channels), roughness: differences / Math.max(DEVIATION_MIN, variances) };
}

/** Neither list empty. */
export const appearanceMatch = (base: readonly Appearance[], slice: readonly Appearance[]): AppearanceMatch => ({
  base: sorted(base),
  slice: sorted(slice),
});

/** Of a base photo; a new array. */
export function matchAppearance(pixels: Uint8Array, size: PictureSize, { base, slice }: AppearanceMatch): Uint8Array {
  const { means, deviations, roughness } = appearanceOf(pixels, size);
  const soft = softened(pixels, size, sameRank(roughness, base.roughness, slice.roughness));
  const now = channelStatistics(soft, size.channels);
  const changes = means.map((mean, channel) => {
    const deviation = deviations[channel] as number;
    const wanted = sameRank(mean, base.means[channel] as Float64Array, slice.means[channel] as Float64Array);
    const [from, to] = [base.deviations[channel], slice.deviations[channel]] as [Float64Array, Float64Array];
    const factor = sameRank(deviation, from, to) / Math.max(DEVIATION_MIN, now.deviations[channel] as number);
    return { mean: now.means[channel] as number, wanted, factor };
  });
  return Uint8Array.from(soft, (value, i) => {
    const { mean, wanted, factor } = changes[i % size.channels] as (typeof changes)[number];
    return Math.max(0, Math.min(255, Math.round((value - mean) * factor + wanted)));
  });
}

function channelStatistics(pixels: ArrayLike<number>, channels: number): Omit<Appearance, "roughness"> {
  const count = pixels.length / channels;
  const sums = new Float64Array(channels);
  const squares = new Float64Array(channels);
  for (let i = 0; i < pixels.length; i++) {
    const [channel, value] = [i % channels, pixels[i] as number];
    sums[channel] = (sums[channel] as number) + value;
    squares[channel] = (squares[channel] as number) + value * value;
  }
  const means = Array.from(sums, (sum) => sum / count);
  const deviations = means.map((mean, channel) =>
    Math.sqrt(Math.max(0, (squares[channel] as number) / count - mean * mean)),
  );
  return { means, deviations };
}

/** `pixels`, mixed with their blurred copy so that their roughness is `wanted`, as near as mixing gets. */
function softened(pixels: Uint8Array, size: PictureSize, wanted: number): ArrayLike<number> {
  const blurred = blur(pixels, size);
  const [own, both, soft] = [
    products(pixels, pixels, size),
    products(pixels, blurred, size),
    products(blurred, blurred, size),
  ];
  /** Of the mixture with the share `t` of the blurred picture, both parts are quadratic in `t`. */
  const isRougher = (t: number): boolean => {
    const of = (what: keyof Products) => (1 - t) ** 2 * own[what] + 2 * t * (1 - t) * both[what] + t ** 2 * soft[what];
    return of("differences") > wanted * of("variances");
  };
  let [low, high] = [SHARPEST, SOFTEST];
  for (let i = 0; i < HALVINGS; i++) {
    const middle = (low + high) / 2;
    if (isRougher(middle)) low = middle;
    else high = middle;
  }
  const t = (low + high) / 2;
  return blurred.map((value, i) => t * value + (1 - t) * (pixels[i] as number));
}

/** By 1-2-1 in both directions; edges are repeated. */
function blur(pixels: ArrayLike<number>, { width, height, channels }: PictureSize): Float32Array {
  const across = Float32Array.from({ length: pixels.length }, (_, i) => {
    const x = Math.floor(i / channels) % width;
    const [left, right] = [x === 0 ? i : i - channels, x === width - 1 ? i : i + channels];
    return ((pixels[left] as number) + 2 * (pixels[i] as number) + (pixels[right] as number)) / 4;
  });
  const row = width * channels;
  return across.map((value, i) => {
    const y = Math.floor(i / row);
    const [above, below] = [y === 0 ? i : i - row, y === height - 1 ? i : i + row];
    return ((across[above] as number) + 2 * value + (across[below] as number)) / 4;
  });
}

/** Means of products of two pictures' differences between neighbours, and of their deviations from the channels' means. */
type Products = { readonly differences: number; readonly variances: number };

function products(a: ArrayLike<number>, b: ArrayLike<number>, { width, height, channels }: PictureSize): Products {
  const row = width * channels;
  let [differences, pairs] = [0, 0];
  const add = (i: number, j: number) => {
    differences += ((a[i] as number) - (a[j] as number)) * ((b[i] as number) - (b[j] as number));
    pairs++;
  };
  for (let i = 0; i < a.length; i++) {
    if (Math.floor(i / channels) % width < width - 1) add(i, i + channels);
    if (Math.floor(i / row) < height - 1) add(i, i + row);
  }
  const [meansA, meansB] = [channelStatistics(a, channels).means, channelStatistics(b, channels).means];
  let variances = 0;
  for (let i = 0; i < a.length; i++) {
    const channel = i % channels;
    variances += ((a[i] as number) - (meansA[channel] as number)) * ((b[i] as number) - (meansB[channel] as number));
  }
  return { differences: differences / Math.max(1, pairs), variances: variances / a.length };
}

function sorted(all: readonly Appearance[]): Sorted {
  const of = (key: "means" | "deviations") =>
    (all[0]?.[key] ?? []).map((_, channel) => Float64Array.from(all, (one) => one[key][channel] as number).sort());
  const roughness = Float64Array.from(all, (one) => one.roughness).sort();
  return { means: of("means"), deviations: of("deviations"), roughness };
}

/** What `to` has at the rank that `value` has in `from`, interpolated. */
function sameRank(value: number, from: Float64Array, to: Float64Array): number {
  const rank = (countBelow(from, value) + 0.5) / (from.length + 1);
  const place = Math.max(0, Math.min(to.length - 1, rank * to.length - 0.5));
  const low = Math.floor(place);
  const [a, b] = [to[low] as number, to[Math.min(to.length - 1, low + 1)] as number];
  return a + (place - low) * (b - a);
}

function countBelow(values: Float64Array, value: number): number {
  let [from, to] = [0, values.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((values[middle] as number) < value) from = middle + 1;
    else to = middle;
  }
  return from;
}
