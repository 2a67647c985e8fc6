/**
 * The identity of a validation set, wherever its frames are stored: its manifest lists each frame's file, bytes, class,
 * slice and device, and the SHA-256 of the manifest is the set's digest. A folder and a set that was pushed from it have the same.
 *
 * A manifest that came from elsewhere names no file outside of its folder, none twice, and no picture twice. Frames,
 * their bytes and the manifest's own are bounded; all of it is known before a frame is read (G9). */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, isValidId, reasonOf } from "@tributary/kernel";
import { sha256 } from "@tributary/model-store";
import { z } from "zod";
import {
  BASE_SLICE,
  checkEnough,
  DEVICE_FORM,
  DEVICES_FILE,
  FRAMES_MIN,
  invalid,
  isFrameFile,
  isSlice,
  LABELS_FILE,
  namedFrames,
  SLICE_FORM,
  SLICES_FILE,
} from "./frames.ts";

export const validationLimits = {
  framesMax: 20_000,
  frameBytesMax: 16 << 20,
  manifestBytesMax: 8 << 20,
} as const;

/** Of a base set, which a model is trained on: more of them. */
export const baseSetLimits = { framesMax: 60_000, frameBytesMax: 16 << 20, manifestBytesMax: 24 << 20 } as const;

type SetLimits = Readonly<Record<keyof typeof validationLimits, number>>;

const frame = z.strictObject({
  /** NAME or FOLDER/NAME. */
  file: z
    .string()
    .regex(/\.jpe?g$/i, "expected a JPEG: its name ends in .jpg or .jpeg")
    .refine(isFrameFile, "expected NAME.jpg or FOLDER/NAME.jpg")
    .refine((file) => Buffer.byteLength(file) <= 255 && file.isWellFormed(), "expected at most 255 bytes of UTF-8"),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, "expected 64 lower-case hex digits"),
  bytes: z.number().int().positive(),
  /** Its class. */
  label: z.string().min(1).max(256),
  /** Left out: base, so that sets without slices keep their digest. */
  slice: z.string().refine(isSlice, SLICE_FORM).optional(),
  /** Left out: not known, as of photos that no device took. */
  device: z.string().refine(isValidId, DEVICE_FORM).optional(),
});
const manifestSchema = z.strictObject({ frames: z.array(frame) });

export type ValidationManifest = z.output<typeof manifestSchema>;
export type DescribedFolder = {
  readonly manifest: ValidationManifest;
  /** Of the manifest, and their SHA-256. */
  readonly bytes: Buffer;
  readonly digest: Digest;
};

/** Reads every frame of a folder with labels.json, or with a folder for each class. */
export async function describeFolder(
  dir: string,
  progress: (done: number, all: number) => void = () => {},
): Promise<DescribedFolder> {
  const named = await namedFrames(dir);
  checkEnough(dir, named);
  const frames: ValidationManifest["frames"] = [];
  for (const [file, label, slice, device] of named) {
    const bytes = await readFile(join(dir, file)).catch((error: Error) => {
      throw invalid(`${dir}: ${error.message}`);
    });
    frames.push({
      ...{ file, sha256: sha256(bytes), bytes: bytes.length, label },
      ...(slice !== BASE_SLICE && { slice }),
      ...(device !== undefined && { device }),
    });
    progress(frames.length, named.length);
  }
  const bytes = Buffer.from(`${JSON.stringify({ frames })}\n`);
  return { manifest: { frames }, bytes, digest: sha256(bytes) };
}

/** One that came from elsewhere. Throws `validation-frames-invalid`, which names what is wrong. */
export function parseValidationManifest(bytes: Uint8Array, limits: SetLimits = validationLimits): ValidationManifest {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw invalid(`the manifest of the validation set is not JSON: ${reasonOf(error)}`);
  }
  const frames = (json as { frames?: unknown } | null)?.frames;
  if (Array.isArray(frames) && frames.length > limits.framesMax) throw tooMany(frames.length, limits);
  const result = manifestSchema.safeParse(json);
  if (!result.success) {
    const { path, message } = result.error.issues[0] ?? { path: [], message: "" };
    throw invalid(`the manifest of the validation set: ${path.join(".")}: ${message.slice(0, MESSAGE_LENGTH_MAX)}`);
  }
  return checkManifest(result.data, limits);
}

/** Of one that came from elsewhere, and of a folder before it is pushed. */
export function checkManifest(manifest: ValidationManifest, limits: SetLimits = validationLimits): ValidationManifest {
  const { frames } = manifest;
  const { framesMax, frameBytesMax } = limits;
  if (frames.length < FRAMES_MIN) throw invalid(`${frames.length} frames are too few; ${FRAMES_MIN} are needed`);
  if (frames.length > framesMax) throw tooMany(frames.length, limits);
  const files = new Set<string>([LABELS_FILE, SLICES_FILE, DEVICES_FILE]);
  const pictures = new Map<string, string>();
  const repeats: string[] = [];
  for (const { file, sha256, bytes } of frames) {
    if (bytes > frameBytesMax) throw invalid(`"${file}" has ${bytes} bytes; a frame may have ${frameBytesMax}`);
    if (files.has(file)) throw invalid(`"${file}" is named twice`);
    files.add(file);
    const same = pictures.get(sha256);
    if (same === undefined) pictures.set(sha256, file);
    else repeats.push(`${file} is ${same}`);
  }
  if (repeats.length > 0) throw invalid(`the same picture counts once; leave out: ${someOf(repeats)}`);
  const folder = frames
    .map(({ file }) => file.split("/")[0] as string)
    .find((part, i) => frames[i]?.file !== part && files.has(part));
  if (folder !== undefined) throw invalid(`"${folder}" is named as a file and as a folder`);
  return manifest;
}

const MESSAGE_LENGTH_MAX = 300;

const tooMany = (count: number, { framesMax }: SetLimits) =>
  invalid(`${count} frames are too many; at most ${framesMax} may be pushed`);

/** The first of them, and how many more there are. */
export const someOf = (lines: readonly string[]): string =>
  lines.slice(0, 5).join("; ") + (lines.length > 5 ? ` and ${lines.length - 5} more` : "");

/** Frames by class. */
export function countsOf(manifest: ValidationManifest): Readonly<Record<string, number>> {
  const counts = new Map<string, number>();
  for (const { label } of manifest.frames) counts.set(label, (counts.get(label) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Frames by slice. */
export function slicesOf(manifest: ValidationManifest): Readonly<Record<string, number>> {
  const counts = new Map<string, number>();
  for (const { slice = BASE_SLICE } of manifest.frames) counts.set(slice, (counts.get(slice) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

export const bytesIn = ({ frames }: ValidationManifest): number => frames.reduce((sum, { bytes }) => sum + bytes, 0);
