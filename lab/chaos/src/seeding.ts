/** What a training starts from, pushed by a person: the sample's package as champion, its validation frames, and a base set. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { Client, modelRegistryApi, trainerApi } from "@tributary/api";
import { loadPackage, readPackageFile, writePackage } from "@tributary/model-store";
import { edgePackage } from "@tributary/stack";
import { waitFor } from "@tributary/testing";

export type Photo = { readonly jpeg: Buffer; readonly label: string };

/** The time of a frame is judged, too; a busy machine must not decide. */
export const LATENCY_MS_MAX = 60_000;
const AT_ONCE = 8;

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

type Registry = Pick<Client<typeof modelRegistryApi>, "blobs" | "models" | "validation">;
type Trainer = Pick<Client<typeof trainerApi>, "blobs" | "datasets">;
type Champion = {
  readonly name: string;
  readonly version: string;
  readonly manifestDigest: string;
  /** The digest of the validation frames' manifest. */
  readonly set: string;
  /** Digests of its files, the manifest's last. */
  readonly files: readonly string[];
};

/** The sample's package is champion; its candidates are judged on these photos. */
export async function pushChampion(
  registry: Registry,
  dir: string,
  validation: readonly Photo[],
  by: string,
): Promise<Champion> {
  const sample = await loadPackage(edgePackage);
  const files: Record<string, Uint8Array> = {};
  for (const path of Object.keys(sample.manifest.files)) files[path] = await readPackageFile(sample, path);
  const packed = join(dir, "champion");
  await writePackage(packed, { ...sample.manifest, latencyBudgetMs: LATENCY_MS_MAX, files });
  const manifest = await readFile(join(packed, "manifest.json"));
  const bytes = [...Object.values(files), manifest];
  await upload(registry.blobs, bytes);
  const manifestDigest = sha256(manifest);
  const { name, version } = await registry.models.push({ body: { manifestDigest, by } });
  await registry.models.alias({ name, alias: "champion", body: { version, by } });
  const set = await uploadSet(registry.blobs, validation);
  await registry.validation.push({ model: name, body: { manifestDigest: set, by } });
  return { name, version, manifestDigest, set, files: bytes.map(sha256) };
}

/** The trainer owns the trainings, and knows the champion, after a moment. */
export async function pushBaseSet(
  trainer: Trainer,
  photos: readonly Photo[],
  { model, by, timeoutMs }: { readonly model: string; readonly by: string; readonly timeoutMs: number },
): Promise<{ readonly manifestDigest: string; readonly version: string }> {
  const manifestDigest = await uploadSet(trainer.blobs, photos);
  const push = () => trainer.datasets.push({ model, body: { manifestDigest, by } }).catch(() => undefined);
  const { version } = await waitFor(push, { what: "the base set to be taken", timeoutMs, everyMs: 500 });
  return { manifestDigest, version };
}

type Blobs = Registry["blobs"] | Trainer["blobs"];

async function uploadSet(blobs: Blobs, photos: readonly Photo[]): Promise<string> {
  const frames = photos.map(({ jpeg, label }, i) => {
    return { file: `${i}.jpg`, sha256: sha256(jpeg), bytes: jpeg.length, label };
  });
  const manifest = Buffer.from(JSON.stringify({ frames }));
  await upload(blobs, [...photos.map(({ jpeg }) => jpeg), manifest]);
  return sha256(manifest);
}

async function upload(blobs: Blobs, files: readonly Uint8Array[]): Promise<void> {
  const waiting = files.values();
  const next = async () => {
    for (const bytes of waiting) {
      await blobs.put({ digest: sha256(bytes), body: Readable.from([bytes]), length: bytes.length });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
}
