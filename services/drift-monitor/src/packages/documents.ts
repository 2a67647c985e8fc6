/** The documents of a package that drift is judged by: from the model registry's blobs, or from a folder. Every one is checked
 * against the digest that names it, and is bounded before it is read (G9). */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { clientOf, modelRegistryApi } from "@tributary/api";
import { type DriftReference, driftReferenceOf } from "@tributary/drift";
import {
  packageFiles,
  packageLimits,
  parseCameraFaults,
  parseConfusion,
  parseFaults,
  parseGoldenIndex,
  parseLabels,
  parseManifest,
  parseReferenceSketch,
} from "@tributary/inference";
import { type Digest, Failure, reasonOf } from "@tributary/kernel";
import { sha256 } from "@tributary/model-store";

export type ModelRegistryAccess = {
  readonly url: string;
  readonly token?: string | undefined;
  readonly timeoutMs: number;
};

/** Larger documents are no labels, sketch or codebook. */
const DOCUMENT_BYTES_MAX = 16 * 1024 * 1024;

/** Reads at most `bytesMax` bytes of a file of the package. */
type Read = (path: string, digest: Digest, bytesMax: number) => Promise<Uint8Array>;

/** Throws a Failure: `package-…`, `drift-reference-invalid`, or of the client. */
export function fetchReference(
  digest: Digest,
  { timeoutMs, ...access }: ModelRegistryAccess,
  stop: AbortSignal,
): Promise<DriftReference> {
  const registry = clientOf(modelRegistryApi, access);
  return referenceOf(digest, async (_path, of, bytesMax) => {
    const signal = AbortSignal.any([stop, AbortSignal.timeout(timeoutMs)]);
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of registry.blobs.get({ digest: of }, { signal })) {
      bytes += chunk.length;
      if (bytes > bytesMax) throw new Failure("package-digest-mismatch", "give-up", `blob ${of} has too many bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  });
}

export async function readReference(folder: string): Promise<DriftReference> {
  const read = async (path: string, bytesMax: number): Promise<Uint8Array> => {
    const file = await open(join(folder, path)).catch((error: unknown) => {
      throw new Failure("package-unreadable", "ask-a-person", `${join(folder, path)}: ${reasonOf(error)}`);
    });
    try {
      const { size } = await file.stat();
      if (size > bytesMax)
        throw new Failure("package-file-too-large", "give-up", `${join(folder, path)}: ${size} bytes`);
      return await file.readFile();
    } finally {
      await file.close();
    }
  };
  const digest = sha256(await read(packageFiles.manifest, packageLimits.manifestBytesMax));
  return referenceOf(digest, (path, _digest, bytesMax) => read(path, bytesMax));
}

async function referenceOf(digest: Digest, read: Read): Promise<DriftReference> {
  const document = async (path: string, of: Digest, bytesMax: number): Promise<unknown> => {
    const bytes = await read(path, of, bytesMax);
    if (sha256(bytes) !== of) {
      const what = `${path} of package ${digest.slice(0, 12)} has another content than its digest ${of.slice(0, 12)} says`;
      throw new Failure("package-digest-mismatch", "give-up", what);
    }
    return parsed(bytes, path);
  };
  const manifest = parseManifest(await document(packageFiles.manifest, digest, packageLimits.manifestBytesMax));
  const isListed = (path: string): boolean => Object.hasOwn(manifest.files, path);
  const listed = async (path: string): Promise<unknown> => {
    const file = isListed(path) ? manifest.files[path] : undefined;
    if (file === undefined) return null;
    if (file.bytes > DOCUMENT_BYTES_MAX) {
      throw new Failure("package-file-too-large", "give-up", `${path}: at most ${DOCUMENT_BYTES_MAX} bytes`);
    }
    return document(path, file.sha256, file.bytes);
  };
  const [labelsJson, sketchJson, goldenJson, faultsJson, camerasJson, confusionJson] = await Promise.all(
    [
      packageFiles.labels,
      isListed(packageFiles.referenceSketchV2) ? packageFiles.referenceSketchV2 : packageFiles.referenceSketch,
      packageFiles.goldenIndex,
      packageFiles.faults,
      packageFiles.cameraFaults,
      packageFiles.confusion,
    ].map(listed),
  );
  const labels = parseLabels(labelsJson);
  const golden = parseGoldenIndex(goldenJson, labels.length);
  return driftReferenceOf(digest, {
    manifest,
    labels,
    golden,
    sketch: parseReferenceSketch(sketchJson),
    faults: faultsJson === null ? null : parseFaults(faultsJson, labels.length, golden.frames.length),
    cameraFaults: camerasJson === null ? null : parseCameraFaults(camerasJson),
    confusion: confusionJson === null ? null : parseConfusion(confusionJson, labels.length),
  });
}

function parsed(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Failure("package-document-invalid", "give-up", `${path} is not JSON: ${reasonOf(error)}`);
  }
}
