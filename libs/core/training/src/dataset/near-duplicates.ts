/**
 * Frames without their near-duplicates.
 *
 * N1. No two frames that remain are within the distance of each other, so near-duplicates cannot straddle splits: of frames that look
 *     alike the first is kept. Chains (A like B, B like C) leave out B alone, where joining them all would leave one frame of a
 *     camera that looks at one scene all day.
 * N2. Frames that look alike with different classes contradict each other, and none of them is kept.
 */
import { type FrameCandidate, type LeftOutCounts, LeftOutTally } from "./candidate.ts";
import { HashIndex } from "./picture-hash.ts";

export type DistinctFrames = { readonly frames: readonly FrameCandidate[]; readonly leftOut: LeftOutCounts };

/** In their order, which says whom is preferred. */
export function distinctFrames(frames: readonly FrameCandidate[], distanceMax: number): DistinctFrames {
  const tally = new LeftOutTally();
  const contradicted = hashesContradicted(frames, distanceMax);
  const digests = labelsOf(frames, ({ digest }) => digest);
  const kept = new HashIndex<FrameCandidate>(distanceMax);
  const keptDigests = new Set<string>();
  const distinct = frames.filter((frame) => {
    const { digest, pictureHash, label } = frame;
    if (contradicted.has(`${pictureHash} ${label}`) || (digests.get(digest)?.size ?? 0) > 1) {
      tally.add("labels-contradict"); // N2
      return false;
    }
    if (keptDigests.has(digest)) {
      tally.add("same-picture");
      return false;
    }
    if (kept.near(pictureHash).length > 0) {
      tally.add("near-duplicate"); // N1
      return false;
    }
    kept.add(pictureHash, frame);
    keptDigests.add(digest);
    return true;
  });
  return { frames: distinct, leftOut: tally.counts() };
}

/** N2. Hash and class of which a near hash has another class. */
function hashesContradicted(frames: readonly FrameCandidate[], distanceMax: number): ReadonlySet<string> {
  const labels = labelsOf(frames, ({ pictureHash }) => pictureHash);
  const index = new HashIndex<string>(distanceMax);
  for (const [hash, own] of labels) for (const label of own) index.add(hash, label);
  const contradicted = new Set<string>();
  for (const [hash, own] of labels) {
    const near = new Set(index.near(hash));
    if (near.size > 1) for (const label of own) contradicted.add(`${hash} ${label}`);
  }
  return contradicted;
}

function labelsOf(
  frames: readonly FrameCandidate[],
  keyOf: (frame: FrameCandidate) => string,
): ReadonlyMap<string, ReadonlySet<string>> {
  const labels = new Map<string, Set<string>>();
  for (const frame of frames) {
    const key = keyOf(frame);
    labels.set(key, (labels.get(key) ?? new Set()).add(frame.label));
  }
  return labels;
}
