/**
 * Whether the archive keeps a frame that there is a reason to keep, by what it has of the frame's device and day (UTC).
 *
 * K1. A device and day has a bound in frames and in bytes, whatever the reason: what a device sends costs the archive no more.
 * K2. The bound of a class counts for SCOPE and DISAGREEMENT only. It would change the probability of drawn frames, and their
 *     propensity is what statistics are weighted by; and who labels a frame wants it.
 * K3. SCOPE frames are spread over the day without knowing how many will come: with the share x of a bound used, a frame is kept
 *     with probability (1 - x)^2, so after t times as many frames as the bound, t / (1 + t) of it is used. Chance is a hash of
 *     the frame's id, so that the same frame gets the same answer again.
 */
import type { ArchivedFrame } from "@tributary/contracts";
import { hashOf } from "@tributary/kernel";

/** Why a frame is kept: the first that holds of these, in this order. */
export type KeepReason = Exclude<ArchivedFrame["why"], "UNKNOWN">;

export type ArchiveCaps = {
  /** Of a device and day. */
  readonly framesPerDay: number;
  /** Of a device, class of the edge model, and day (K2). */
  readonly framesPerClassDay: number;
  /** Of a device and day. */
  readonly bytesPerDay: number;
};

export const archiveCapsDefaults: ArchiveCaps = {
  framesPerDay: 1_000,
  framesPerClassDay: 300,
  bytesPerDay: 32 * 1024 * 1024,
};

/** What the archive has of a device and day. */
export type DayCounts = { readonly frames: number; readonly ofClass: number; readonly bytes: number };

export type KeepOutcome = "kept" | "day-frames" | "day-bytes" | "day-class" | "thinned";

export function keepOutcome(
  frame: { readonly frameId: string; readonly bytes: number },
  why: KeepReason,
  counts: DayCounts,
  caps: ArchiveCaps,
): KeepOutcome {
  if (counts.frames >= caps.framesPerDay) return "day-frames"; // K1
  if (counts.bytes + frame.bytes > caps.bytesPerDay) return "day-bytes"; // K1
  if (why === "SAMPLE" || why === "LABELLED") return "kept"; // K2
  if (counts.ofClass >= caps.framesPerClassDay) return "day-class";
  if (why !== "SCOPE") return "kept";
  const used = Math.max(counts.frames / caps.framesPerDay, counts.ofClass / caps.framesPerClassDay);
  return hashOf(frame.frameId) / 2 ** 32 < (1 - used) ** 2 ? "kept" : "thinned"; // K3
}
