/** What a way of choosing frames is worth: the share of the cloud's gain over the edge that it keeps at each budget. */

export type JudgedFrame = { readonly edgeRight: boolean; readonly cloudRight: boolean };

/** Share of the cloud's gain when the `share` of frames of highest `scores` is sent; equal scores keep their order.
 * NaN when the cloud has no gain. `drawn`: the frames to count, with repeats (a bootstrap's resample); all by default. */
export function gainShare(
  frames: readonly JudgedFrame[],
  order: Int32Array,
  share: number,
  multiplicity?: Int32Array,
): number {
  let total = 0;
  let gain = 0;
  for (let i = 0; i < frames.length; i++) {
    const times = multiplicity?.[i] ?? 1;
    total += times;
    gain += times * gainOf(frames[i]);
  }
  let left = Math.round(share * total);
  let kept = 0;
  for (const i of order) {
    if (left <= 0) break;
    const times = Math.min(left, multiplicity?.[i] ?? 1);
    kept += times * gainOf(frames[i]);
    left -= times;
  }
  return gain === 0 ? Number.NaN : kept / gain;
}

/** Indices by falling score, ties by index. */
export const orderByScore = (scores: readonly number[]): Int32Array =>
  Int32Array.from(scores.map((_, i) => i).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b));

/** What sending it changes: 1 when only the cloud is right, -1 when only the edge is. */
export const gainOf = (frame: JudgedFrame | undefined): number =>
  frame === undefined ? 0 : (frame.cloudRight ? 1 : 0) - (frame.edgeRight ? 1 : 0);
