/**
 * What the trainings of a model have used, so that no frame is both learned and judged by, in whichever order.
 *
 * U1. What candidates are judged by, which is the validation set and the GATE frames of earlier datasets, is in no later dataset; nor is
 *     a picture that looks like it.
 * U2. What was trained or tuned on, in an earlier dataset or as a photo of the base set, is in GATE of no later dataset; nor is a
 *     picture that looks like it. It may be trained on again.
 */
import type { UsableFrame } from "./candidate.ts";
import { HashIndex } from "./picture-hash.ts";

export type FrameUse = "judged" | "trained";

export type UsedFrame = {
  readonly use: FrameUse;
  readonly digest: string;
  /** Null: its picture is not looked at, is gone, or cannot be decoded. Then the same picture alone is found. */
  readonly pictureHash: string | null;
  /** Empty: it is not known, as of photos that a person pushed. */
  readonly deviceId: string;
};

/** Where and when a frame was seen that candidates are judged by. */
export type JudgedMoment = Pick<UsableFrame, "deviceId" | "receivedAt" | "frameId">;

/** Of each frame that was used, or looks like one that was: how. Judged counts before trained. */
export function usesOf<F extends { readonly digest: string; readonly pictureHash?: string }>(
  frames: readonly F[],
  used: Iterable<UsedFrame>,
  distanceMax: number,
): ReadonlyMap<F, FrameUse> {
  const byDigest = Map.groupBy(frames, ({ digest }) => digest);
  const byHash = new HashIndex<F>(distanceMax);
  for (const frame of frames) if (frame.pictureHash !== undefined) byHash.add(frame.pictureHash, frame);
  const uses = new Map<F, FrameUse>();
  const mark = (found: readonly F[], use: FrameUse) => {
    for (const frame of found) if (uses.get(frame) !== "judged") uses.set(frame, use);
  };
  for (const { use, digest, pictureHash } of used) {
    mark(byDigest.get(digest) ?? [], use);
    if (pictureHash !== null) mark(byHash.near(pictureHash), use);
  }
  return uses;
}

export type Unjudged<F> = {
  readonly frames: readonly F[];
  readonly judged: readonly F[];
  /** U2. Of one of the frames. */
  readonly isTrained: (frame: F) => boolean;
};

/** U1. The frames apart from those that candidates are judged by, in their order. */
export function unjudged<F extends { readonly digest: string; readonly pictureHash?: string }>(
  frames: readonly F[],
  used: Iterable<UsedFrame>,
  distanceMax: number,
): Unjudged<F> {
  const uses = usesOf(frames, used, distanceMax);
  return {
    frames: frames.filter((frame) => uses.get(frame) !== "judged"),
    judged: frames.filter((frame) => uses.get(frame) === "judged"),
    isTrained: (frame) => uses.get(frame) === "trained",
  };
}

/** What the history of the model takes from too few frames, for the message; empty: nothing. */
export function usedText({
  judged,
  beside,
  trained,
}: Readonly<Record<"judged" | "beside" | "trained", number>>): string {
  const parts = [
    judged > 0 &&
      `${judged} more are, or look like, frames that candidates are judged by (validation set, earlier GATE)`,
    beside > 0 && `${beside} are of devices or moments that candidates are judged by`,
    trained > 0 && `${trained} were trained on before, so GATE cannot have them`,
  ].filter((part) => part !== false);
  return parts.length === 0 ? "" : `; ${parts.join("; ")}: label newer frames`;
}
