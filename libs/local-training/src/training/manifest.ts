/** `manifest.jsonl` of a dataset. It came from elsewhere: a line that is malformed, names a file twice or outside of its folder, or
 * contradicts another line refuses the dataset. */

import { isPackagePath } from "@tributary/inference";
import { isDigest, reasonOf } from "@tributary/kernel";
import { DATASET_MANIFEST, type DatasetFrame } from "@tributary/training";
import { failure } from "./failures.ts";

const MANIFEST_BYTES_MAX = 128 << 20;
const FRAMES_MAX = 200_000;

/** What training needs of a frame; the manifest's other keys are for other readers. */
export type ManifestFrame = Pick<DatasetFrame, "file" | "sha256" | "label" | "slice" | "split">;

/** `where`: for messages. */
export function parseManifest(bytes: Uint8Array, where: string): readonly ManifestFrame[] {
  const invalid = (message: string) =>
    failure("training-manifest-invalid", "ask-a-person", `${where}/${DATASET_MANIFEST}: ${message}`);
  if (bytes.length > MANIFEST_BYTES_MAX) throw invalid(`${bytes.length} bytes, at most ${MANIFEST_BYTES_MAX}`);
  const lines = new TextDecoder().decode(bytes).split("\n");
  if (lines.at(-1) === "") lines.pop();
  if (lines.length > FRAMES_MAX) throw invalid(`${lines.length} frames, at most ${FRAMES_MAX}`);
  const files = new Set<string>();
  const pictures = new Map<string, ManifestFrame>();
  return lines.map((line, i) => {
    const frame = frameOf(line);
    if (typeof frame === "string") throw invalid(`line ${i + 1}: ${frame}`);
    if (files.has(frame.file)) throw invalid(`line ${i + 1}: ${frame.file} is named twice`);
    files.add(frame.file);
    const same = pictures.get(frame.sha256);
    if (same !== undefined && same.label !== frame.label) {
      const both = `${where}: ${same.file} and ${frame.file} are the same picture, labelled "${same.label}" and "${frame.label}"`;
      throw failure("training-labels-contradict", "ask-a-person", `${both}; leave it out or correct its label`);
    }
    if (same !== undefined && same.split !== frame.split) {
      throw invalid(`line ${i + 1}: ${frame.file} is in ${frame.split}, and the same picture in ${same.split}`);
    }
    pictures.set(frame.sha256, frame);
    return frame;
  });
}

/** A text is what is wrong. */
function frameOf(line: string): ManifestFrame | string {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (error) {
    return `not JSON: ${reasonOf(error)}`;
  }
  const { file, sha256, label, slice, split } = (json ?? {}) as Partial<Record<keyof ManifestFrame, unknown>>;
  if (typeof file !== "string" || !isPackagePath(file)) return `"file" is no plain path inside the folder`;
  if (typeof sha256 !== "string" || !isDigest(sha256)) return `"sha256" is not 64 lower-case hex digits`;
  if (typeof label !== "string" || label === "") return `"label" is not a text`;
  if (typeof slice !== "string" || slice === "") return `"slice" is not a text`;
  if (split !== "TRAIN" && split !== "TUNE" && split !== "GATE") return `"split" is not TRAIN, TUNE or GATE`;
  return { file, sha256, label, slice, split };
}
