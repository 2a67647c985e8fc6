/** What is known of one device's drift: the small part of its state that verdicts are made of. */
import type { Instant } from "@tributary/kernel";
import type { PictureDrift } from "./appearance-watch.ts";
import type { AppliedReview } from "./reviews/drift-reviews.ts";

export type DeviceFindings = {
  readonly deviceId: string;
  readonly cameras: readonly CameraFindings[];
  /** Newest last. */
  readonly draws: readonly LabelledDraw[];
  /** Package that the draws are of, hex. */
  readonly drawsDigest: string;
};

export type CameraFindings = {
  readonly cameraId: string;
  readonly modelDigest: string;
  /** Length and end of its newest window. */
  readonly windowMs: number;
  readonly endedAt: Instant;
  /** Whether its baseline is complete: only then it is compared with it. */
  readonly isCompared: boolean;
  /** Of each stream, how far the last 16 windows are from the baseline; null without one. */
  readonly recent: ArrayLike<number> | null;
  /** Of a camera whose day has several baselines. */
  readonly days?: CameraDays | undefined;
  /** Null unless a stream is alarmed. */
  readonly drift: CameraDrift | null;
  /** The review that its baseline contains; none by default. */
  readonly applied?: AppliedReview | undefined;
};

export type CameraDays = {
  /** Of each stream, how far its last whole day is from the baselines; null while too little of a day is known. */
  readonly last: ArrayLike<number> | null;
  /** Of each stream, how far its days usually are from each other: standard deviations of a part's mean. */
  readonly deviations: ArrayLike<number>;
};

export type CameraDrift = {
  /** Estimated onset: the earliest of the alarmed streams'. */
  readonly since: Instant;
  /** End of the window that raised the first of the alarms. */
  readonly alarmedAt: Instant;
  /** Frames behind `shifts`. */
  readonly frames: number;
  /** Of each stream of the package, in its order: the baseline, and how far the mean since the onset is from it. */
  readonly before: ArrayLike<number>;
  readonly shifts: ArrayLike<number>;
  readonly alarms: readonly StreamAlarm[];
  /** Oldest first. */
  readonly history: readonly { readonly at: Instant; readonly shifts: ArrayLike<number> }[];
  /** Null if the agent sends no grids, or while too few frames are known since. */
  readonly picture: PictureDrift | null;
};

export type StreamAlarm = {
  /** Index among the package's streams. */
  readonly stream: number;
  readonly since: Instant;
  readonly alarmedAt: Instant;
  /** ln of the e-detector. */
  readonly logEvidence: number;
  /** Frames per bin since the alarm; empty for label:CLASS. */
  readonly counts: ArrayLike<number>;
};

/** A frame that the random sample drew, and whose true class is known. */
export type LabelledDraw = {
  readonly cameraId: string;
  readonly at: Instant;
  /** With which probability it was drawn. */
  readonly propensity: number;
  /** Index of the true class. */
  readonly truth: number;
  /** Whether the device's answer was wrong. */
  readonly loss: boolean;
};
