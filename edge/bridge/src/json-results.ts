/**
 * Final answers for devices that speak only JSON, on `down/results/json`: one message a frame, in the words of the
 * gateway's API. 64-bit numbers are decimal strings there, since many a JSON reader would round them.
 */
import type { Classifications } from "@tributary/contracts";
import { formatFrameId } from "@tributary/kernel";

export function jsonResults({ deviceId, bootId, answers }: Classifications): Buffer[] {
  return answers.map((answer) => {
    const { cameraId, frameSeq, label, source, confidence, reason, settledBy } = answer;
    const { edgeLabel, edgeConfidence, cloudLabel, cloudTarget, latencyMs } = answer;
    const identity = {
      frameId: formatFrameId({ deviceId, bootId, cameraId, frameSeq }),
      deviceId,
      bootId: `${bootId}`,
    };
    return Buffer.from(
      JSON.stringify({
        ...identity,
        cameraId,
        frameSeq: `${frameSeq}`,
        label,
        source,
        confidence,
        reason,
        settledBy,
        edgeLabel,
        edgeConfidence,
        cloudLabel,
        cloudTarget,
        latencyMs,
      }),
    );
  });
}
