/** The validation frames a package is measured on: a folder of JPEGs as the camera gives them, with `labels.json` (file
 * name to class) or with a folder for each class. `slices.json`, where there is one, names the slice of frames that are to
 * be judged by themselves, e.g. those of a site: file name to KEY=VALUE. All others are of the slice `base`. `devices.json` names the
 * device that a frame is from: frames of one device are not independent. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Failure, isValidId, reasonOf } from "@tributary/kernel";

export type ValidationFrame = {
  readonly file: string;
  readonly path: string;
  /** Index into the model's classes. */
  readonly label: number;
  /** base, or KEY=VALUE. */
  readonly slice: string;
  /** That it is from; undefined: not known. */
  readonly device?: string;
};

export const FRAMES_MIN = 100;
export const LABELS_FILE = "labels.json";
export const SLICES_FILE = "slices.json";
export const DEVICES_FILE = "devices.json";
/** Of frames that `slices.json` does not name. */
export const BASE_SLICE = "base";

export const invalid = (message: string) => new Failure("validation-frames-invalid", "ask-a-person", message);

/** In order of file names; at least as many as can be learned from. */
export async function validationFrames(dir: string, classes: readonly string[]): Promise<readonly ValidationFrame[]> {
  const frames = await framesIn(dir, classes);
  checkEnough(dir, frames);
  return frames;
}

/** In order of file names, however few. */
async function framesIn(dir: string, classes: readonly string[]): Promise<readonly ValidationFrame[]> {
  return (await namedFrames(dir)).map(([file, name, slice, device]): ValidationFrame => {
    const label = classes.indexOf(name);
    if (label < 0) throw invalid(`${dir}: "${file}" is a "${name}", which the model does not know`);
    return { file, path: join(dir, file), label, slice, ...(device !== undefined && { device }) };
  });
}

export function checkEnough(dir: string, { length }: readonly unknown[]): void {
  if (length < FRAMES_MIN)
    throw invalid(`${dir}: ${length} frames are too few to learn from; ${FRAMES_MIN} are needed`);
}

export type NamedFrame = readonly [file: string, label: string, slice: string, device: string | undefined];
type Labelled = readonly [file: string, label: string];

/** Whatever the model: each file below the folder with its class, slice and device, in order of file names. */
export async function namedFrames(dir: string): Promise<readonly NamedFrame[]> {
  const named = (await labelsFile(dir)) ?? (await classFolders(dir));
  for (const [file] of named) {
    if (!/\.jpe?g$/i.test(file)) throw invalid(`${dir}: "${file}" is no JPEG; frames must be as cameras give them`);
  }
  const files = new Set(named.map(([file]) => file));
  const slices = await textsFile(join(dir, SLICES_FILE), files, isSlice, SLICE_FORM);
  const devices = await textsFile(join(dir, DEVICES_FILE), files, isValidId, DEVICE_FORM);
  return [...named]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, label]) => [file, label, slices.get(file) ?? BASE_SLICE, devices.get(file)]);
}

const SLICE_LENGTH_MAX = 128;
export const SLICE_FORM = `expected base or KEY=VALUE of at most ${SLICE_LENGTH_MAX} characters`;
export const DEVICE_FORM = "expected a device's id: letters, digits, - and _, at most 64";

/** `base`, `fleet`, or KEY=VALUE. */
export const isSlice = (slice: string): boolean =>
  slice.length <= SLICE_LENGTH_MAX && slice.isWellFormed() && /^(base|fleet|[^=\s\p{Cc}]+=[^\p{Cc}]*)$/u.test(slice);

/** A text by file; empty where there is no such file. */
async function textsFile(
  path: string,
  files: ReadonlySet<string>,
  isForm: (text: string) => boolean,
  form: string,
): Promise<ReadonlyMap<string, string>> {
  const entries = (await namesFile(path)) ?? [];
  for (const [file, text] of entries) {
    if (!files.has(file)) throw invalid(`${path}: "${file}" is not a frame of this folder`);
    if (typeof text !== "string" || !isForm(text)) throw invalid(`${path}: "${file}": ${form}`);
  }
  return new Map(entries as readonly (readonly [string, string])[]);
}

export type Halves = { readonly packing: readonly ValidationFrame[]; readonly gating: readonly ValidationFrame[] };

/** Frames that a package is made from, and those that it is gated on: half of each class, by lot of the seed and the file's
 * name. The same folder and seed give the same halves; the package's lineage names the seed. */
export function halvesOf(frames: readonly ValidationFrame[], seed: string): Halves {
  const first = firstHalfOf(frames, seed);
  const halves = {
    packing: frames.filter((frame) => first.has(frame)), // In order of file names.
    gating: frames.filter((frame) => !first.has(frame)),
  };
  if (halves.gating.length >= FRAMES_MIN) return halves;
  throw invalid(
    `${frames.length} frames are too few to pack on one half and gate on the other; ${2 * FRAMES_MIN} are needed`,
  );
}

/** Half of each slice and class, by lot of the seed and the file's name: every second file could be every second class. What
 * half of one slice is does not depend on the others. */
export function firstHalfOf(frames: readonly ValidationFrame[], seed: string): ReadonlySet<ValidationFrame> {
  const lots = new Map(frames.map((frame) => [frame, lotOf(seed, frame.file)]));
  const halves = [...Map.groupBy(frames, ({ slice }) => slice).values()].map((slice) =>
    [...slice]
      .sort((a, b) => a.label - b.label || ((lots.get(a) as string) < (lots.get(b) as string) ? -1 : 1))
      .filter((_, i) => i % 2 === 0),
  );
  return new Set(halves.flat());
}

const lotOf = (seed: string, file: string): string => createHash("sha256").update(`${seed}\n${file}`).digest("hex");

/** A file of the folder, or of a folder in it: nothing that leads out of it. */
export const isFrameFile = (file: string): boolean =>
  /^[^/\\\p{Cc}]+(\/[^/\\\p{Cc}]+)?$/u.test(file) && file.split("/").every((part) => part !== "." && part !== "..");

/** `labels.json`, file to class; null when there is none. */
async function labelsFile(dir: string): Promise<readonly Labelled[] | null> {
  const path = join(dir, LABELS_FILE);
  const named = await namesFile(path);
  if (named === null) return null;
  return named.map(([file, name]) => {
    if (!isFrameFile(file)) throw invalid(`${path}: "${file}" is not a file of this folder`);
    return [file, String(name)] as const;
  });
}

/** A JSON object by file name; null when there is none. */
async function namesFile(path: string): Promise<readonly (readonly [file: string, value: unknown])[] | null> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw invalid(`${path}: ${error.message}`);
  });
  if (text === null) return null;
  let named: unknown;
  try {
    named = JSON.parse(text);
  } catch (error) {
    throw invalid(`${path}: not JSON: ${reasonOf(error)}`);
  }
  if (named === null || typeof named !== "object" || Array.isArray(named)) {
    throw invalid(`${path}: not an object with an entry for each file`);
  }
  return Object.entries(named);
}

/** One folder a class, as torchvision's ImageFolder and Keras read them. */
async function classFolders(dir: string): Promise<readonly Labelled[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: Error) => {
    throw invalid(`${dir}: ${error.message}`);
  });
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  if (folders.length === 0) throw invalid(`${dir}: neither labels.json (file -> class) nor a folder for each class`);
  const named = await Promise.all(
    folders.map(async (folder) =>
      (await readdir(join(dir, folder))).map((file) => [join(folder, file), folder] as const),
    ),
  );
  return named.flat();
}
