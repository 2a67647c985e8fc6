import { defineEvent } from "@tributary/telemetry";

export const frameDecided = defineEvent<{ deviceId: string; outcome: string }>({
  name: "archive_frame_decided",
  level: "trace",
  message: (e) => `a frame of ${e.deviceId}: ${e.outcome}`,
  counter: {
    name: "tributary_archive_frames_total",
    help: "Frames by what became of them: kept, no reason to keep them, or the bound that they are beyond",
    labels: ["outcome"],
  },
});

export const frameKept = defineEvent<{ frameId: string; why: string; bytes: number }>({
  name: "archive_frame_kept",
  level: "trace",
  message: (e) => `${e.frameId} is kept: ${e.why}`,
  counter: [
    { name: "tributary_archive_frames_kept_total", help: "Frames kept, by why", labels: ["why"] },
    { name: "tributary_archive_kept_bytes_total", help: "Bytes of their pictures", value: (e) => e.bytes },
  ],
});

export const pictureRefused = defineEvent<{ frameId: string; fault: string }>({
  name: "archive_picture_refused",
  level: "warn",
  message: (e) => `the picture of ${e.frameId} is not kept: ${e.fault}`,
});

export const diskWriteFailed = defineEvent<{ code: string }>({
  name: "archive_disk_write_failed",
  level: "debug",
  message: (e) => `a picture could not be written: ${e.code}`,
  counter: {
    name: "tributary_archive_disk_writes_failed_total",
    help: "Attempts to write a picture that failed by the disk, by its error",
    labels: ["code"],
  },
});

export const diskStateChanged = defineEvent<{ state: "fails" | "works"; code: string; reason: string }>({
  name: "archive_disk_state_changed",
  level: "error",
  message: (e) => e.reason,
});

export const backlogRead = defineEvent<{ partition: number; frames: number; ms: number }>({
  name: "archive_backlog_read",
  level: "debug",
  message: (e) => `partition ${e.partition}: ${e.frames} frames that Kafka has, in ${e.ms.toFixed(0)} ms`,
});

export const partitionRebuilt = defineEvent<{ partition: number; ms: number }>({
  name: "partition_rebuilt",
  level: "debug",
  message: (e) => `partition ${e.partition} is rebuilt in ${e.ms.toFixed(0)} ms`,
  histogram: {
    name: "tributary_archive_rebuild_seconds",
    help: "Seconds to read what the archive has of a partition",
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    value: (e) => e.ms / 1_000,
  },
});

export const partitionForgotten = defineEvent<{ partition: number; code: string; reason: string }>({
  name: "partition_forgotten",
  level: "warn",
  message: (e) => `partition ${e.partition} is rebuilt: ${e.reason}`,
  counter: {
    name: "tributary_archive_partitions_forgotten_total",
    help: "Partitions whose memory was thrown away",
    labels: ["code"],
  },
});

export const roundFailed = defineEvent<{ what: string; code: string; reason: string }>({
  name: "archive_round_failed",
  level: "warn",
  message: (e) => `${e.what} failed, trying again later: ${e.code}: ${e.reason}`,
  counter: {
    name: "tributary_archive_rounds_failed_total",
    help: "Sweeps, and fetches of frames that came before a verdict, that failed",
    labels: ["what", "code"],
  },
});

export const picturesSwept = defineEvent<{ pictures: number; bytes: number }>({
  name: "archive_pictures_swept",
  level: "info",
  message: (e) => `${e.pictures} pictures removed that are expired or that no frame names: ${e.bytes} bytes`,
  counter: [
    { name: "tributary_archive_pictures_removed_total", help: "Pictures removed", value: (e) => e.pictures },
    { name: "tributary_archive_removed_bytes_total", help: "Their bytes", value: (e) => e.bytes },
  ],
});
