/**
 * Base photos as the slice's cameras would show them, by the statistics of their channels alone: each channel's mean and deviation
 * become those that the slice has at the same rank. A dark site's photos teach most of the darkness, and base photos that were made as
 * dark have labels already, many more than people gave the slice.
 *
 * Measured with labels of the slice beside it; where the slice differs otherwise (blur, another mix of classes) nearly nothing is
 * changed, as its statistics are those of the base.
 */

/** By channel, of 0 to 255. */
export type ChannelStatistics = { readonly means: readonly number[]; readonly deviations: readonly number[] };

/** Sorted, by channel. */
type Sorted = { readonly means: readonly Float64Array[]; readonly deviations: readonly Float64Array[] };
export type ChannelMatch = { readonly base: Sorted; readonly slice: Sorted };

/** Deviations below are a picture of one colour, which nothing can be scaled from. */
const DEVIATION_MIN = 1;

/** `pixels`: interleaved. */
export function channelStatistics(pixels: Uint8Array, channels: number): ChannelStatistics {
  const count = pixels.length / channels;
  const sums = new Float64Array(channels);
  const squares = new Float64Array(channels);
  for (const [i, value] of pixels.entries()) {
    const channel = i % channels;
    sums[channel] = (sums[channel] as number) + value;
    squares[channel] = (squares[channel] as number) + value * value;
  }
  const means = Array.from(sums, (sum) => sum / count);
  const deviations = means.map((mean, channel) =>
    Math.sqrt(Math.max(0, (squares[channel] as number) / count - mean * mean)),
  );
  return { means, deviations };
}

/** Neither list empty. */
export const channelMatch = (
  base: readonly ChannelStatistics[],
  slice: readonly ChannelStatistics[],
): ChannelMatch => ({ base: sorted(base), slice: sorted(slice) });

/** Of a base photo; a new array. */
export function matchChannels(pixels: Uint8Array, channels: number, { base, slice }: ChannelMatch): Uint8Array {
  const { means, deviations } = channelStatistics(pixels, channels);
  const changes = means.map((mean, channel) => {
    const deviation = deviations[channel] as number;
    const wanted = sameRank(mean, base.means[channel] as Float64Array, slice.means[channel] as Float64Array);
    const spread = sameRank(
      deviation,
      base.deviations[channel] as Float64Array,
      slice.deviations[channel] as Float64Array,
    );
    return { mean, wanted, factor: spread / Math.max(DEVIATION_MIN, deviation) };
  });
  return pixels.map((value, i) => {
    const { mean, wanted, factor } = changes[i % channels] as (typeof changes)[number];
    return Math.max(0, Math.min(255, Math.round((value - mean) * factor + wanted)));
  });
}

function sorted(all: readonly ChannelStatistics[]): Sorted {
  const of = (key: keyof ChannelStatistics) =>
    (all[0]?.[key] ?? []).map((_, channel) => Float64Array.from(all, (one) => one[key][channel] as number).sort());
  return { means: of("means"), deviations: of("deviations") };
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
