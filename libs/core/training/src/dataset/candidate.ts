/** Frames that may become part of a dataset, as the archive and the labels have them. */

/** PERSON, IMPORT and MEASUREMENT are of ground-truth.v1; CLOUD is the cloud model's answer. */
export type LabelSource = "PERSON" | "IMPORT" | "MEASUREMENT" | "CLOUD";

export type FrameLabel = {
  /** Null: somebody looked, and the frame cannot be labelled. */
  readonly label: string | null;
  readonly source: LabelSource;
  /** Who labelled it. A later label by the same one replaces the earlier. */
  readonly by: string;
  /** Of CLOUD: its calibrated probability. Null of others. */
  readonly confidence: number | null;
};

export type LabelledFrame = {
  /** deviceId:bootId:cameraId:frameSeq. */
  readonly frameId: string;
  readonly deviceId: string;
  /** SHA-256 of the JPEG, hex. */
  readonly digest: string;
  readonly receivedAt: number;
  readonly sampleDrawn: boolean;
  readonly samplePropensity: number;
  /** In the order of the log. */
  readonly labels: readonly FrameLabel[];
};

/** A frame that has exactly one usable label. */
export type UsableFrame = Omit<LabelledFrame, "labels"> & {
  readonly label: string;
  readonly source: LabelSource;
};

export type FrameCandidate = UsableFrame & {
  /** Difference hash of the picture, 16 hex digits (picture-hash.ts). */
  readonly pictureHash: string;
};

export const LEFT_OUT = [
  "unlabelled",
  "cannot-be-labelled",
  "class-unknown",
  "cloud-unsure",
  "labels-contradict",
  "judged-before",
  "expired",
  "undecodable",
  "same-picture",
  "near-duplicate",
  "device-share",
  "cloud-label",
  "not-drawn",
  "beside-judged",
  "trained-before",
  "enough",
] as const;

/**
 * Why a frame that was asked for is not in the dataset. `labels-contradict`: two people disagree on it, or it and a near-duplicate have
 * different classes. `judged-before`: candidates are judged by it, or by a picture that looks like it (used-frames.ts U1); `beside-judged`:
 * by frames of its device or block of time (split.ts S4). `trained-before`: it would be judged by (U2). `expired`: its picture went before it was frozen. `cloud-label` and `not-drawn`: it would have been judged on.
 * `enough`: there were more than were wanted.
 */
export type LeftOut = (typeof LEFT_OUT)[number];

export type LeftOutCounts = Readonly<Partial<Record<LeftOut, number>>>;

export class LeftOutTally {
  readonly #counts = new Map<LeftOut, number>();

  add(reason: LeftOut, frames = 1): void {
    if (frames > 0) this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + frames);
  }

  counts(): LeftOutCounts {
    return Object.fromEntries(
      LEFT_OUT.flatMap((reason) => [[reason, this.#counts.get(reason) ?? 0] as const]).filter(([, n]) => n > 0),
    );
  }
}

/** Both counted. */
export function sumOfLeftOut(...counts: readonly LeftOutCounts[]): LeftOutCounts {
  const tally = new LeftOutTally();
  for (const one of counts) for (const reason of LEFT_OUT) tally.add(reason, one[reason] ?? 0);
  return tally.counts();
}
