/** `manifest.jsonl` of a dataset: one frame a line, in order of files. */
import { Failure } from "@tributary/kernel";
import type { DatasetFrame } from "../job.ts";

export const DATASET_FRAMES_MAX = 100_000;

const SPLITS = ["TRAIN", "TUNE", "GATE"];
const TEXTS = ["file", "sha256", "label", "labelSource", "slice", "split", "frameId", "deviceId"] as const;

/** Fields in one order, so that the same frames are the same bytes. */
export function manifestText(frames: readonly DatasetFrame[]): string {
  const sorted = [...frames].sort((a, b) => (a.file < b.file ? -1 : 1));
  return sorted
    .map(({ file, sha256, label, labelSource, slice, split, frameId, deviceId, samplePropensity }) =>
      JSON.stringify({ file, sha256, label, labelSource, slice, split, frameId, deviceId, samplePropensity }),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** Of one that came from elsewhere. */
export function parseDatasetManifest(text: string): DatasetFrame[] {
  const lines = text.split("\n");
  if (lines.pop() !== "") throw invalid("it ends within a line");
  if (lines.length > DATASET_FRAMES_MAX) throw invalid(`${lines.length} frames, at most ${DATASET_FRAMES_MAX}`);
  const files = new Set<string>();
  return lines.map((line, i) => {
    const frame = frameIn(line);
    if (frame === null) throw invalid(`line ${i + 1} is no frame`);
    if (files.has(frame.file)) throw invalid(`line ${i + 1}: "${frame.file}" is named twice`);
    files.add(frame.file);
    return frame;
  });
}

function frameIn(line: string): DatasetFrame | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  const frame = value as Record<string, unknown> | null;
  if (typeof frame !== "object" || frame === null) return null;
  const { samplePropensity } = frame;
  const isFrame =
    TEXTS.every((name) => typeof frame[name] === "string") &&
    /^frames\/[0-9a-f]{64}\.jpg$/.test(frame.file as string) &&
    frame.file === frameFile(frame.sha256 as string) &&
    SPLITS.includes(frame.split as string) &&
    (samplePropensity === null || typeof samplePropensity === "number");
  return isFrame ? (frame as DatasetFrame) : null;
}

export const frameFile = (sha256: string): string => `frames/${sha256}.jpg`;

const invalid = (what: string) =>
  new Failure("dataset-manifest-invalid", "ask-a-person", `the dataset's manifest.jsonl is invalid: ${what}`);

/** Of the slice that a training is for; the dataset's other frames are held out (TUNE of elsewhere), and came without an id. */
export const isOfSlice = ({ frameId }: Pick<DatasetFrame, "frameId">): boolean => frameId !== "";
