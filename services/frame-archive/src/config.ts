import { ConfigError, sharedBlocks } from "@tributary/config";
import { topics } from "@tributary/contracts";
import { isLoopback } from "@tributary/service-kit";
import { type ArchiveCaps, archiveCapsDefaults } from "@tributary/training";
import { z } from "zod";

const positive = z.number().int().positive();
const DAY_MS = 86_400_000;
const TTL_DAYS_MAX = topics.archivedFrames.retentionMs / DAY_MS;

/** The consumer group. */
export const GROUP = "frame-archive";

export const configSchema = z.strictObject({
  ...sharedBlocks,
  auth: z
    .strictObject({
      /** Bearer tokens; any of them opens lists and pictures. Empty: open, on loopback only. */
      tokens: z
        .array(z.string().regex(/^\S{16,512}$/, "expected 16 to 512 characters without spaces"))
        .max(100)
        .default([]),
    })
    .prefault({}),
  /** Pictures, unless they are in S3; then they wait here until they are uploaded. A folder is of one instance. */
  dataDir: z.string().min(1),
  blobs: z
    .strictObject({
      /** Needed by several instances. Left out: `blobs` in dataDir. */
      s3: z
        .strictObject({
          bucket: z.string().min(1),
          prefix: z.string().max(512).default(""),
          region: z.string().min(1).default("us-east-1"),
          /** Of another server than AWS'. */
          endpointUrl: z.url({ protocol: /^https?$/, error: "expected http:// or https://" }).optional(),
        })
        .optional(),
      /** How long frames wait in Kafka for a disk that is full or fails; then they are not kept, and counted as `disk-full`. */
      diskWaitMsMax: positive.min(1_000).max(DAY_MS).default(3_600_000),
      /** A picture that no frame names is removed when it is so old. */
      unusedMsMax: positive.min(60_000).default(3_600_000),
      sweepEveryMs: positive.min(1_000).max(DAY_MS).default(600_000),
    })
    .prefault({}),
  /** What is kept. Frames beyond it are dropped, and counted by the bound. */
  keep: z
    .strictObject({
      /** After that a picture is deleted; its record stays for the rest of the topic's retention. */
      ttlDays: positive.max(TTL_DAYS_MAX).default(90),
      framesPerDeviceDay: positive.max(1_000_000).default(archiveCapsDefaults.framesPerDay),
      /** Of one class of the edge model: frames of a verdict, and those that edge and cloud disagree on. */
      framesPerClassDay: positive.max(1_000_000).default(archiveCapsDefaults.framesPerClassDay),
      bytesPerDeviceDay: positive.default(archiveCapsDefaults.bytesPerDay),
      /** Of all pictures together. */
      bytesTotalMax: positive.default(64 * 2 ** 30),
      /** Frames in all; the oldest are forgotten, and deleted, first. They are in memory. */
      framesMax: positive.max(10_000_000).default(500_000),
      /** Of bytesTotalMax and framesMax for one device. */
      deviceShareMax: z.number().min(0.001).max(1).default(0.05),
    })
    .prefault({}),
  limits: z
    .strictObject({
      /** Frames of a partition that may be fetched from Kafka when they are labelled or answered later. */
      sentFramesMax: positive.max(1_000_000).default(10_000),
      /** Newest frames of a partition that are read again for that after it was taken over. */
      backlogFramesMax: z.number().int().min(0).max(100_000).default(2_000),
      /** Of a picture: larger ones would fill the memory of who decodes them. */
      pixelsMax: positive.default(40_000_000),
      /** Newest labels that are shown with frames. */
      labelsMax: positive.max(10_000_000).default(500_000),
      /** Pictures that are served at a time. */
      picturesMax: positive.max(1_000).default(32),
    })
    .prefault({}),
});

export type FrameArchiveConfig = z.output<typeof configSchema>;

/** Whoever reaches an open archive sees pictures, so an open one listens on loopback only. */
export function checkConfig({ auth, http, keep }: FrameArchiveConfig): void {
  const problems: string[] = [];
  if (auth.tokens.length === 0 && !isLoopback(http.host)) {
    problems.push(
      `auth.tokens: at least one token is needed when http.host is ${http.host}; only loopback may be open`,
    );
  }
  if (keep.framesPerClassDay > keep.framesPerDeviceDay) {
    problems.push("keep.framesPerClassDay: at most keep.framesPerDeviceDay, which it is a part of");
  }
  if (keep.bytesPerDeviceDay > keep.bytesTotalMax) {
    problems.push("keep.bytesPerDeviceDay: at most keep.bytesTotalMax");
  }
  if (problems.length > 0) throw new ConfigError("configuration", problems);
}

export const capsOf = ({ keep }: FrameArchiveConfig): ArchiveCaps => ({
  framesPerDay: keep.framesPerDeviceDay,
  framesPerClassDay: keep.framesPerClassDay,
  bytesPerDay: keep.bytesPerDeviceDay,
});

export const ttlMsOf = ({ keep }: FrameArchiveConfig): number => keep.ttlDays * DAY_MS;
