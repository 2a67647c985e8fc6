/** Splits of a base set: most photos are replayed in training, some are kept to choose blend and quantisation on. */
import { hashOf } from "@tributary/kernel";
import { HashIndex } from "./picture-hash.ts";

const TUNE_SHARE = 0.1;
const TUNE_FRAMES_MAX = 2_000;

type BasePhoto = { readonly digest: string; readonly pictureHash: string };

/** Digests of those that are tuned on: by lot of the digest, so that a set that grows keeps most of them. A photo that looks like
 * another one is trained on, with it. */
export function tunedPhotos(photos: readonly BasePhoto[], hashDistanceMax: number): ReadonlySet<string> {
  const index = new HashIndex<string>(hashDistanceMax);
  for (const { digest, pictureHash } of photos) index.add(pictureHash, digest);
  const count = Math.min(TUNE_FRAMES_MAX, Math.floor(photos.length * TUNE_SHARE));
  const lots = photos.map((photo) => ({ ...photo, lot: hashOf(photo.digest) }));
  lots.sort((a, b) => a.lot - b.lot || (a.digest < b.digest ? -1 : 1));
  const tuned = new Set<string>();
  for (const { digest, pictureHash } of lots) {
    if (tuned.size === count) break;
    if (index.near(pictureHash).length === 1) tuned.add(digest);
  }
  return tuned;
}
