/** Splits of a base set: most photos are replayed in training, some are kept to choose blend and quantisation on. */
import { hashOf } from "@tributary/kernel";
import { trainingFramesMin } from "../local/enough.ts";
import { HashIndex } from "./picture-hash.ts";

/** Of a small set more, so that there is enough to choose by. */
const TUNE_SHARE = 0.1;
const TUNE_FRAMES_MAX = 2_000;

type BasePhoto = { readonly digest: string; readonly pictureHash: string };

/** Digests of those that are tuned on: by lot of the digest, so that a set that grows keeps most of them. A photo that looks like
 * another one is trained on, with it. */
export function tunedPhotos(photos: readonly BasePhoto[], hashDistanceMax: number): ReadonlySet<string> {
  const index = new HashIndex<string>(hashDistanceMax);
  for (const { digest, pictureHash } of photos) index.add(pictureHash, digest);
  const least = Math.min(trainingFramesMin.baseTune, photos.length - trainingFramesMin.baseTrain);
  const count = Math.min(TUNE_FRAMES_MAX, Math.max(least, Math.floor(photos.length * TUNE_SHARE)));
  const lots = photos.map((photo) => ({ ...photo, lot: hashOf(photo.digest) }));
  lots.sort((a, b) => a.lot - b.lot || (a.digest < b.digest ? -1 : 1));
  const tuned = new Set<string>();
  for (const { digest, pictureHash } of lots) {
    if (tuned.size === count) break;
    if (index.near(pictureHash).length === 1) tuned.add(digest);
  }
  return tuned;
}

/** Photos of each split. */
export type BaseCounts = { readonly TRAIN: number; readonly TUNE: number };

export const baseCountsMin: BaseCounts = { TRAIN: trainingFramesMin.baseTrain, TUNE: trainingFramesMin.baseTune };

/** In words, with the number that would do; null: it has enough. Photos that look alike are trained on together, so some sets need more. */
export function whatBaseLacks(
  parts: readonly { readonly split: string; readonly frames: number }[],
  { TRAIN, TUNE }: BaseCounts,
): string | null {
  const count = (split: string) =>
    parts.filter((part) => part.split === split).reduce((sum, one) => sum + one.frames, 0);
  const [train, tune] = [count("TRAIN"), count("TUNE")];
  if (train >= TRAIN && tune >= TUNE) return null;
  const have = `${train} photos to train on and ${tune} that look like no other to choose with`;
  return `${have}; ${TRAIN} and ${TUNE} are needed, so at least ${TRAIN + TUNE} different photos`;
}
