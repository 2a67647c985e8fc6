/** The validation frames a package is measured on: a folder of JPEGs as the camera gives them, and `labels.json`, file
 * name to class. */
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { Failure } from "@tributary/kernel";

export type ValidationFrame = {
  readonly file: string;
  readonly path: string;
  /** Index into the model's classes. */
  readonly label: number;
};

const invalid = (message: string) => new Failure("validation-frames-invalid", "ask-a-person", message);

/** In order of file names. */
export async function validationFrames(dir: string, classes: readonly string[]): Promise<readonly ValidationFrame[]> {
  const path = join(dir, "labels.json");
  const text = await readFile(path, "utf8").catch((error: Error) => {
    throw invalid(`${path}: ${error.message}`);
  });
  const named: unknown = JSON.parse(text);
  if (named === null || typeof named !== "object" || Array.isArray(named)) throw invalid(`${path}: not file -> class`);
  const frames = Object.entries(named).map(([file, name]: [string, unknown]): ValidationFrame => {
    const label = classes.indexOf(String(name));
    if (label < 0) throw invalid(`${path}: "${file}" is a "${String(name)}", which the model does not know`);
    if (file !== basename(file)) throw invalid(`${path}: "${file}" is not a file of this folder`);
    return { file, path: join(dir, file), label };
  });
  if (frames.length < 100) throw invalid(`${path}: ${frames.length} frames are too few to learn from; 100 are needed`);
  return frames.sort((a, b) => (a.file < b.file ? -1 : 1));
}
