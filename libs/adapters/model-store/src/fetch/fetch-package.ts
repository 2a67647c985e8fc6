/**
 * A whole package from the model registry into a package store: metadata, manifest, files, in this order, each checked by
 * the one before (G6). On devices it runs in a process of its own.
 *
 * Without trust there is no signed metadata: the digest of the manifest, which the caller has from a topic, is what all
 * bytes are checked against.
 */
import { mkdir, readdir, readFile, rm, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  fitsHardware,
  type ListedModel,
  listedPartOf,
  type PackageFile,
  packageFiles,
  packageLimits,
} from "@tributary/inference";
import { type Clock, type Digest, Failure } from "@tributary/kernel";
import { syncFolder } from "@tributary/kernel/durable-file";
import { checkPackage } from "../load.ts";
import { bytesAt, type DownloadPorts, diskFullOr, download, Pace } from "./download.ts";
import type { PackageFolders } from "./package-folders.ts";
import { manifestOf, verifyManifest } from "./verify-manifest.ts";

/** Free space that must remain for the outbox and other programs. */
const DISK_FREE_BYTES_MIN = 32 << 20;

type PackageRef = { readonly digest: Digest; readonly name: string; readonly version: string };

type Progress = {
  readonly phase: "WAITING" | "DOWNLOADING" | "VERIFYING";
  readonly bytesDone: number;
  readonly bytesAll: number;
};

export type FetchOptions = {
  readonly registry: string;
  /** Sent with every request, e.g. `authorization`. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly wanted: PackageRef;
  /** What the package has to fit; absent: any will do. */
  readonly hardwareClass?: string;
  readonly bytesPerSecondMax: number;
  readonly packageBytesMax: number;
};

export type FetchPorts = {
  /** Null: what the caller wants is trusted by its digest. */
  readonly trust: Trust | null;
  readonly packageStore: PackageFolders;
  readonly clock: Clock;
  readonly onProgress: (progress: Progress) => void;
};

/** Of @tributary/tuf: what verified metadata lists. */
type Trust = {
  refresh(signal: AbortSignal): Promise<void>;
  listed(modelDigest: Digest): ListedModel | undefined;
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
  const isHere = await packageStore.has(digest);
  if (isHere && trust === null) return;
  const dir = packageStore.incomingDir(digest);
  let [bytesDone, bytesAll] = [0, 0];
  const report = (phase: Progress["phase"]) => onProgress({ phase, bytesDone, bytesAll });
  const from: DownloadPorts = {
    modelRegistry: options.registry,
    headers: options.headers,
    clock: ports.clock,
    pace: new Pace(options.bytesPerSecondMax),
    onBytes: (bytes) => {
      bytesDone += bytes;
      report("DOWNLOADING");
    },
  };
  const listed =
    trust === null ? await declared(from, digest, dir, signal) : await listedNow(trust, digest, isHere, signal);
  mustFit(listed, options);
  bytesAll = listed.packageBytes + listed.manifestBytes;
  bytesDone = isHere ? bytesAll : await bytesUnder(dir);
  if (isHere) {
    report("VERIFYING");
    return;
  }
  report("DOWNLOADING");
  await mustHaveRoom(packageStore, bytesAll - bytesDone);
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

/** What the manifest itself declares, checked by its digest. */
async function declared(from: DownloadPorts, digest: Digest, dir: string, signal: AbortSignal): Promise<ListedModel> {
  const file = join(dir, packageFiles.manifest);
  const manifestBytes = await bytesAt(from, digest, packageLimits.manifestBytesMax, signal);
  await download(from, { sha256: digest, bytes: manifestBytes }, file, signal);
  return { ...listedPartOf(manifestOf(await readFile(file), digest)), manifestBytes };
}

/** A stored package needs no registry while the last verified metadata lists it and has not expired: a rollback must work
 * without a network. */
async function listedNow(trust: Trust, digest: Digest, isHere: boolean, signal: AbortSignal): Promise<ListedModel> {
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
  if (hardwareClass !== undefined && !fitsHardware(listed.hardwareClass, hardwareClass)) {
    const what = `${wanted.name} ${wanted.version} is for ${listed.hardwareClass}, this device is ${hardwareClass}`;
    throw new Failure("package-other-hardware", "give-up", what);
  }
  if (listed.packageBytes > packageBytesMax) {
    const what = `${listed.packageBytes} bytes; packageBytesMax is ${packageBytesMax}`;
    throw new Failure("package-too-large", "give-up", what);
  }
}

async function mustHaveRoom(packageStore: PackageFolders, bytes: number): Promise<void> {
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
