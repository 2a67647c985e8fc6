/** Judges a device's report of its golden frames: do its logits agree with the package's, or with a fault's? */
import type { DeviceReported } from "@tributary/contracts";
import { Failure, type Instant } from "@tributary/kernel";
import { type NamedFault, nearestPipelineFault } from "./codebook.ts";
import type { DriftReference } from "./drift-reference.ts";

export type GoldenOutcome =
  | "passed"
  | "failed"
  /** No golden frame was run, or the agent does not report it. */
  | "not-reported"
  /** Of another package than the one the device runs. */
  | "digest-foreign"
  /** Not a number, or not as many as the package's golden frames have. */
  | "logits-invalid"
  /** No package of this digest is known, so only the device's own comparison counts. */
  | "package-unknown";

export type GoldenJudgement = {
  readonly outcome: GoldenOutcome;
  /** Whether the device does not reproduce its golden frames. */
  readonly hasFailed: boolean;
  readonly fault: NamedFault | null;
  readonly frames: number;
  readonly framesFailed: number;
  /** When the frames were run, by the time of receipt if the device's clock is not known to be right. */
  readonly at: Instant;
};

export function judgeGolden(
  report: DeviceReported,
  receivedAt: Instant,
  runningDigest: string,
  reference: DriftReference | undefined,
): GoldenJudgement {
  const { golden } = report;
  const at = report.clockState === "SYNCHRONIZED" ? Math.min(golden?.at ?? receivedAt, receivedAt) : receivedAt;
  const { frames = 0, failed: framesFailed = 0 } = golden ?? {};
  const judged = (outcome: GoldenOutcome, fault: NamedFault | null = null): GoldenJudgement => {
    const isOfDevice = outcome !== "not-reported" && outcome !== "digest-foreign";
    return { outcome, hasFailed: isOfDevice && (framesFailed > 0 || fault !== null), fault, frames, framesFailed, at };
  };
  if (golden === null || frames <= 0) return judged("not-reported");
  if (golden.modelDigest !== runningDigest) return judged("digest-foreign");
  if (reference === undefined) return judged("package-unknown");
  if (reference.faults === null || golden.logits.length === 0) return judged(framesFailed > 0 ? "failed" : "passed");
  try {
    const fault = nearestPipelineFault(reference.faults, reference.golden, golden.logits);
    return judged(framesFailed > 0 || fault !== null ? "failed" : "passed", fault);
  } catch (error) {
    if (error instanceof Failure) return judged("logits-invalid");
    throw error;
  }
}
