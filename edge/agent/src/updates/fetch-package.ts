/**
 * A whole package from the model registry into the device's package store: metadata, manifest, files, in this order, each
 * checked by the one before (G6). Runs in a process of its own.
 */
import { mkdir, readdir, readFile, rm, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fitsHardware, type PackageFile, packageFiles } from "@tributary/inference";
import { type Clock, type Digest, Failure } from "@tributary/kernel";
import { checkPackage } from "@tributary/model-store";
import { type ListedModel, type TrustedModels, verifyManifest } from "@tributary/tuf";
import type { PackageRef, Progress } from "@tributary/updates";
import { diskFullOr, download, Pace } from "./download.ts";
import { type PackageStore, syncFolder } from "./package-store.ts";

/** Free space that must remain for the outbox and other programs. */
const DISK_FREE_BYTES_MIN = 32 << 20;

export type FetchOptions = {
  readonly registry: string;
  readonly wanted: PackageRef;
  readonly hardwareClass: string;
  readonly bytesPerSecondMax: number;
  readonly packageBytesMax: number;
};

export type FetchPorts = {
  readonly trust: Pick<TrustedModels, "refresh" | "listed">;
  readonly packageStore: PackageStore;
  readonly clock: Clock;
  readonly onProgress: (progress: Progress) => void;
};

/** Throws Failure, whose advice is whether to try again. */
export async function fetchPackage(options: FetchOptions, ports: FetchPorts, signal: AbortSignal): Promise<void> {
  try {
    await bring(options, ports, signal);
  } catch (error) {
    throw diskFullOr(error);
  }
}

async function bring(options: FetchOptions, ports: FetchPorts, signal: AbortSignal): Promise<void> {
  const { wanted } = options;
  const { trust, packageStore, onProgress } = ports;
  const { digest } = wanted;
  onProgress({ phase: "WAITING", bytesDone: 0, bytesAll: 0 });
  const isHere = await isThere(packageStore, digest);
  const listed = await listedNow(trust, digest, isHere, signal);
  mustFit(listed, options);
  const bytesAll = listed.packageBytes + listed.manifestBytes;
  if (isHere) {
    onProgress({ phase: "VERIFYING", bytesDone: bytesAll, bytesAll });
    return;
  }
  const dir = packageStore.incomingDir(digest);
  let bytesDone = await bytesUnder(dir);
  const report = (phase: Progress["phase"]) => onProgress({ phase, bytesDone, bytesAll });
  report("DOWNLOADING");
  await mustHaveRoom(packageStore, bytesAll - bytesDone);
  const from = {
    modelRegistry: options.registry,
    clock: ports.clock,
    pace: new Pace(options.bytesPerSecondMax),
    onBytes: (bytes: number) => {
      bytesDone += bytes;
      report("DOWNLOADING");
    },
  };
  const manifestFile = join(dir, packageFiles.manifest);
  await download(from, { sha256: digest, bytes: listed.manifestBytes }, manifestFile, signal);
  const manifest = verifyManifest(await readFile(manifestFile), digest, listed);
  await dropUnlisted(dir, manifest.files);
  for (const [path, file] of Object.entries(manifest.files)) await download(from, file, join(dir, path), signal);
  report("VERIFYING");
  await checkPackage(dir, { digest });
  await syncFolders(dir);
  signal.throwIfAborted();
  await packageStore.place(digest);
}

/** A stored package needs no registry while the last verified metadata lists it and has not expired: a rollback must work
 * without a network. */
async function listedNow(
  trust: FetchPorts["trust"],
  digest: Digest,
  isHere: boolean,
  signal: AbortSignal,
): Promise<ListedModel> {
  try {
    await trust.refresh(signal);
  } catch (error) {
    const listed = isHere && !signal.aborted ? trust.listed(digest) : undefined;
    if (listed === undefined) throw error;
    return listed;
  }
  const listed = trust.listed(digest);
  if (listed !== undefined) return listed;
  throw new Failure("package-unlisted", "give-up", `no signed metadata lists ${digest}, or it does no more`);
}

function mustFit(listed: ListedModel, { wanted, hardwareClass, packageBytesMax }: FetchOptions): void {
  if (listed.name !== wanted.name || listed.version !== wanted.version) {
    const what = `${wanted.digest} is listed as ${listed.name} ${listed.version}, not ${wanted.name} ${wanted.version}`;
    throw new Failure("package-not-as-named", "give-up", what);
  }
  if (!fitsHardware(listed.hardwareClass, hardwareClass)) {
    const what = `${wanted.name} ${wanted.version} is for ${listed.hardwareClass}, this device is ${hardwareClass}`;
    throw new Failure("package-other-hardware", "give-up", what);
  }
  if (listed.packageBytes > packageBytesMax) {
    const what = `${listed.packageBytes} bytes; models.packageBytesMax is ${packageBytesMax}`;
    throw new Failure("package-too-large", "give-up", what);
  }
}

/** Whether it is complete in the package store; an incomplete one is deleted. */
async function isThere(packageStore: PackageStore, digest: string): Promise<boolean> {
  const dir = packageStore.packageDir(digest);
  if (!(await packageStore.packages()).includes(digest)) return false;
  try {
    await checkPackage(dir, { digest });
    return true;
  } catch {
    await rm(dir, { recursive: true, force: true });
    return false;
  }
}

async function mustHaveRoom(packageStore: PackageStore, bytes: number): Promise<void> {
  await mkdir(packageStore.dir, { recursive: true });
  const { bavail, bsize } = await statfs(packageStore.dir);
  const needed = bytes + DISK_FREE_BYTES_MIN;
  if (bavail * bsize < needed) {
    throw new Failure(
      "disk-full",
      "retry",
      `${packageStore.dir}: ${bavail * bsize} bytes are free, ${needed} are needed`,
    );
  }
}

const filesUnder = async (dir: string): Promise<readonly string[]> => {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
};

async function bytesUnder(dir: string): Promise<number> {
  const { stat } = await import("node:fs/promises");
  const sizes = (await filesUnder(dir)).map((path) => stat(path).then(({ size }) => size));
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

async function dropUnlisted(dir: string, files: Readonly<Record<string, PackageFile>>): Promise<void> {
  const listed = new Set([packageFiles.manifest, ...Object.keys(files)].map((path) => join(dir, path)));
  for (const path of await filesUnder(dir)) if (!listed.has(path)) await rm(path, { force: true });
}

async function syncFolders(dir: string): Promise<void> {
  const folders = new Set([dir, ...(await filesUnder(dir)).map((path) => dirname(path))]);
  for (const folder of folders) await syncFolder(folder);
}
