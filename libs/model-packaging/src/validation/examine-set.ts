/** Examines frames that came from elsewhere before a model is judged on them: of classes that the model has, and every one
 * a picture that devices could decode. */
import { readFile } from "node:fs/promises";
import { decodePicture, PIXELS_MAX } from "@tributary/onnx";
import { invalid, validationFrames } from "./frames.ts";
import { someOf } from "./manifest.ts";

const PROGRESS_EVERY = 500;

/** Throws `validation-frames-invalid`, with the frames that cannot be used. Returns how many there are. */
export async function examineSet(
  dir: string,
  classes: readonly string[],
  progress: (line: string) => void = () => {},
): Promise<number> {
  const frames = await validationFrames(dir, classes);
  const undecodable: string[] = [];
  for (const [i, { file, path }] of frames.entries()) {
    const picture = await decodePicture(await readFile(path), { resize: null, library: "pillow" }, PIXELS_MAX);
    if (!picture.ok) undecodable.push(`${file} (${picture.message})`);
    if ((i + 1) % PROGRESS_EVERY === 0) progress(`${i + 1} of ${frames.length} frames decoded`);
  }
  if (undecodable.length > 0) throw invalid(`${undecodable.length} frames cannot be decoded: ${someOf(undecodable)}`);
  return frames.length;
}
