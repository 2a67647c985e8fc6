/**
 * DVC's layout (version 3) of a remote and of a folder in it: each file is under its MD5, and a folder is the list of its files' paths
 * and MD5s, which has an MD5 of its own.
 *
 * D1. The list is byte for byte what DVC writes of the same folder (Python's `json.dumps` with sorted keys, entries sorted by path), so
 *     that both give it the same MD5, and DVC finds nothing changed in what it pulled.
 */
import { createHash } from "node:crypto";
import type { Dataset } from "@tributary/contracts";
import { Failure, invariant } from "@tributary/kernel";
import { datasetReference } from "@tributary/training/dataset";

export type DvcFile = { readonly path: string; readonly md5: string };

export const LABELS_PATH = "labels.json";
const FRAME_PATH = /^frames\/[0-9a-f]{64}\.jpg$/;
const MD5 = /^[0-9a-f]{32}$/;

export const md5Of = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("hex");

export const fileKey = (md5: string): string => `files/md5/${md5.slice(0, 2)}/${md5.slice(2)}`;
export const listKey = (md5: string): string => `${fileKey(md5)}.dir`;

/** D1. Paths are ASCII without anything that JSON escapes. */
export function listOf(files: readonly DvcFile[]): { readonly bytes: Buffer; readonly md5: string } {
  const sorted = [...files].sort((a, b) => (a.path < b.path ? -1 : 1));
  const entries = sorted.map(({ path, md5 }) => {
    invariant(/^[A-Za-z0-9._/-]+$/.test(path), "paths of a dataset need no escapes");
    return `{"md5": "${md5}", "relpath": "${path}"}`;
  });
  const bytes = Buffer.from(`[${entries.join(", ")}]`);
  return { bytes, md5: md5Of(bytes) };
}

/** Of a list that is stored: nothing that leads out of the dataset's folder. */
export function parseList(bytes: Uint8Array, filesMax: number, manifestPath: string): readonly DvcFile[] {
  let entries: unknown;
  try {
    entries = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    throw invalid("it is not JSON");
  }
  if (!Array.isArray(entries) || entries.length > filesMax) throw invalid(`it is no list of at most ${filesMax} files`);
  return entries.map((entry: { readonly md5?: unknown; readonly relpath?: unknown } | null) => {
    const [path, md5] = [String(entry?.relpath), String(entry?.md5)];
    const isKnown = path === LABELS_PATH || path === manifestPath || FRAME_PATH.test(path);
    if (!isKnown || !MD5.test(md5)) throw invalid(`"${path.slice(0, 100)}" is no file of a dataset`);
    return { path, md5 };
  });
}

const invalid = (what: string) =>
  new Failure("dataset-list-invalid", "ask-a-person", `the dataset's list of files is invalid: ${what}`);

/** The folder that `dvc pull` makes; the same for all versions of a kind, so that `dvc diff` compares them. */
export const dvcName = ({ model, kind }: Pick<Dataset, "model" | "kind">): string =>
  `${model.replaceAll(/[^A-Za-z0-9._-]/g, "-")}-${kind.toLowerCase()}`;

/** `NAME.dvc`, which people put into their repository. Texts are JSON's, which is YAML. */
export function dvcText(dataset: Dataset): string {
  const { model, version, md5, bytes, frames, runId, verdictId, baseVersion, createdBy, createdAt } = dataset;
  const meta = {
    model,
    version,
    runId,
    verdictId,
    baseVersion,
    createdBy,
    createdAt: new Date(createdAt).toISOString(),
  };
  const filled = Object.entries(meta).filter(([, text]) => text !== "");
  return [
    `desc: ${JSON.stringify(`Dataset ${datasetReference(dataset)}, frozen by Tributary`)}`,
    "meta:",
    "  tributary:",
    ...filled.map(([name, text]) => `    ${name}: ${JSON.stringify(text)}`),
    "outs:",
    `- md5: ${md5}.dir`,
    `  size: ${bytes}`,
    `  nfiles: ${frames + 2}`,
    "  hash: md5",
    `  path: ${dvcName(dataset)}`,
    "",
  ].join("\n");
}
