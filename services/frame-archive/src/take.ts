/** What answers and labels change in a partition's memory. */
import type { ArchivedFrame, Classifications, GroundTruth } from "@tributary/contracts";
import { formatFrameId } from "@tributary/kernel";
import type { ArchiveMemory } from "@tributary/training";

export type FrameRef = { readonly deviceId: string; readonly frameId: string };

/** Frames that are wanted now, and records that are to be written again with the cloud's answer. */
export function takeAnswers(memory: ArchiveMemory, { deviceId, bootId, answers }: Classifications) {
  const amended: ArchivedFrame[] = [];
  const wanted: FrameRef[] = [];
  for (const { cameraId, frameSeq, cloudLabel, edgeLabel, source, confidence } of answers) {
    if (cloudLabel === null) continue;
    const frameId = formatFrameId({ deviceId, bootId, cameraId, frameSeq });
    const cloud = { label: cloudLabel, confidence: source === "CLOUD" ? confidence : null };
    const again = memory.answered(deviceId, frameId, cloud, edgeLabel);
    if (again !== undefined) amended.push(again);
    else if (memory.isWanted(deviceId, frameId)) wanted.push({ deviceId, frameId });
  }
  return { amended, wanted };
}

/** The frame, if it is wanted now. A label of null is none: the frame cannot be labelled. */
export function takeLabel(memory: ArchiveMemory, truth: GroundTruth): FrameRef | undefined {
  if (truth.label === null) return undefined;
  const { deviceId } = truth;
  const frameId = formatFrameId(truth);
  memory.labelled(deviceId, frameId);
  return memory.isWanted(deviceId, frameId) ? { deviceId, frameId } : undefined;
}
