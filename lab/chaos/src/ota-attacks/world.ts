/** An honest registry with a history of about a day: models were listed and delisted, every change was signed. Attackers know all of it. */
import { createHash } from "node:crypto";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type ListedModel, listedPartOf } from "@tributary/inference";
import { type Clock, type Digest, type Instant, type Random, seededRandom } from "@tributary/kernel";
import { loadPackage, readPackageFile, writePackage } from "@tributary/model-store";
import {
  generateKey,
  initRoot,
  type MetadataStore,
  type OnlineRole,
  onlineRoles,
  proposeRoot,
  rotateRoot,
  type Signer,
  signerOf,
  signRoot,
  TufRepository,
} from "@tributary/tuf/repository";

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
const START: Instant = Date.UTC(2026, 0, 10);
export const HARDWARE = "cpu";
const OTHER_HARDWARE = "npu";

/** The time changes only when it is advanced. */
export class HandClock implements Clock {
  nowMs: Instant;
  readonly #sleepers = new Set<{ readonly atMs: Instant; readonly wake: () => void }>();

  constructor(nowMs: Instant) {
    this.nowMs = nowMs;
  }
  now = (): Instant => this.nowMs;
  monotonicMs = (): number => this.nowMs;
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const sleeper = { atMs: this.nowMs + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", () => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason);
      });
    });
  }
  pass(ms: number): void {
    this.nowMs += ms;
    for (const sleeper of this.#sleepers) if (sleeper.atMs <= this.nowMs) sleeper.wake();
  }
}

export type Files = ReadonlyMap<string, Uint8Array>;

export type Bundle = {
  readonly digest: Digest;
  readonly manifest: Uint8Array;
  /** Without the manifest. */
  readonly files: Files;
  readonly listed: ListedModel;
};

/** The repository after one change. Every model in `listed` was listed on purpose. */
export type Moment = {
  readonly at: Instant;
  readonly files: Files;
  readonly listed: ReadonlyMap<Digest, ListedModel>;
  readonly versions: Readonly<Record<OnlineRole, number>>;
};

export type Online = Readonly<Record<OnlineRole, Signer>>;
export type Keys = { readonly root: readonly Signer[]; readonly online: Online };

export type World = {
  readonly keys: Keys;
  /** The attacker's own. */
  readonly foreign: Keys;
  readonly moments: readonly Moment[];
  readonly present: Moment;
  readonly bundles: ReadonlyMap<Digest, Bundle>;
  /** A valid package that the honest registry never lists. */
  readonly evil: Bundle;
  readonly blobs: ReadonlyMap<Digest, Uint8Array>;
  /** Root 2, with the same keys: of a device made `LATER_MS` after the last moment. */
  readonly laterRoot: Uint8Array;
};

export const sha256 = (bytes: Uint8Array): Digest => createHash("sha256").update(bytes).digest("hex");
export const pick = <T>(from: readonly T[], random: Random): T => from[Math.floor(random() * from.length)] as T;
export const upTo = (below: number, random: Random): number => Math.floor(random() * below);

export const memoryStore = (files: Map<string, Uint8Array>): MetadataStore => ({
  get: async (name) => files.get(name),
  put: async (name, bytes) => void files.set(name, bytes),
  delete: async (name) => void files.delete(name),
});

export const newSigner = (): Signer => signerOf(generateKey(), "attack");
export const newOnline = (): Online => ({ targets: newSigner(), snapshot: newSigner(), timestamp: newSigner() });
const newKeys = (): Keys => ({ root: [newSigner(), newSigner(), newSigner()], online: newOnline() });
export const publicOf = (online: Online) => ({
  targets: online.targets.publicKey,
  snapshot: online.snapshot.publicKey,
  timestamp: online.timestamp.publicKey,
});

const MODELS = 8;
/** Later than any timestamp or snapshot of the history lasts. */
export const LATER_MS = 10 * DAY_MS;

/** Keys are new ones every time; all else follows from the seed. */
export async function makeWorld(bundles: readonly Bundle[], seed: number): Promise<World> {
  const random = seededRandom(seed);
  const keys = newKeys();
  const clock = new HandClock(START);
  const files = new Map<string, Uint8Array>();
  files.set("1.root.json", initRoot({ rootSigners: keys.root, online: publicOf(keys.online), now: START }));
  const repository = await TufRepository.open({ store: memoryStore(files), signers: keys.online, clock });
  const moments: Moment[] = [];
  const known = () => {
    const versions = Object.fromEntries(onlineRoles.map((role) => [role, newestOf(files, role)]));
    const listed = new Map(repository.listed());
    moments.push({ at: clock.now(), files: new Map(files), listed, versions: versions as Moment["versions"] });
  };
  const [evil, other, ...models] = bundles as readonly [Bundle, Bundle, ...Bundle[]];
  await repository.list(other.digest, other.listed);
  for (const [i, { digest, listed }] of models.entries()) {
    clock.pass(Math.floor((1 + random()) * HOUR_MS));
    await repository.list(digest, listed);
    known();
    const delisted = models[i - 3];
    if (delisted === undefined) continue;
    clock.pass(Math.floor(random() * HOUR_MS) + 1_000);
    await repository.delist(delisted.digest);
    known();
  }
  const blobs = new Map<Digest, Uint8Array>();
  for (const { digest, manifest, files: parts } of bundles) {
    blobs.set(digest, manifest);
    for (const bytes of parts.values()) blobs.set(sha256(bytes), bytes);
  }
  const present = moments.at(-1) as Moment;
  const unsigned = proposeRoot(files.get("1.root.json") as Uint8Array, { now: present.at + LATER_MS });
  const laterRoot = keys.root.slice(0, 2).reduce(signRoot, unsigned);
  const byDigest = new Map(bundles.map((bundle) => [bundle.digest, bundle]));
  return { keys, foreign: newKeys(), moments, present, bundles: byDigest, evil, blobs, laterRoot };
}

const newestOf = (files: Files, role: OnlineRole): number =>
  role === "timestamp"
    ? JSON.parse(new TextDecoder().decode(files.get("timestamp.json"))).signed.version
    : Math.max(...[...files.keys()].map((name) => Number(name.endsWith(`${role}.json`) && Number.parseInt(name, 10))));

/** What the honest registry serves at `at`; with `rotate`, after its stolen keys were replaced by a root that the holders signed. */
export async function honestFiles(
  world: World,
  at: Instant,
  { laterRoot, rotate }: { readonly laterRoot: boolean; readonly rotate: boolean },
): Promise<Files> {
  const files = new Map(world.present.files);
  if (laterRoot) files.set("2.root.json", world.laterRoot);
  let signers = world.keys.online;
  if (rotate) {
    signers = newOnline();
    const [stolen, ...kept] = world.keys.root;
    const fresh = newSigner();
    const keys = publicOf(signers);
    const change = {
      targets: [keys.targets],
      snapshot: [keys.snapshot],
      timestamp: [keys.timestamp],
      now: at,
      root: [...kept, fresh].map(({ publicKey }) => publicKey),
    };
    const current = laterRoot ? 2 : 1;
    const next = rotateRoot(files.get(`${current}.root.json`) as Uint8Array, change, [
      stolen as Signer,
      ...kept,
      fresh,
    ]);
    files.set(`${current + 1}.root.json`, next);
  }
  await TufRepository.open({ store: memoryStore(files), signers, clock: new HandClock(at) });
  return files;
}

/** Small packages of the real form: two for the attacker and for other hardware, then the models of the history. */
export async function makeBundles(dir: string, samplePackage: string): Promise<readonly Bundle[]> {
  const sample = await loadPackage(samplePackage);
  const parts: Record<string, Uint8Array> = {};
  for (const path of Object.keys(sample.manifest.files)) {
    if (!path.startsWith("golden/")) parts[path] = await readPackageFile(sample, path);
  }
  const [frame] = sample.golden.frames;
  if (frame === undefined) throw new Error(`${samplePackage} has no golden frame`);
  for (const path of [frame.jpeg, frame.pixels]) parts[path] = await readPackageFile(sample, path);
  const index = JSON.parse(new TextDecoder().decode(await readPackageFile(sample, "golden/index.json")));
  parts["golden/index.json"] = text({ ...index, frames: index.frames.slice(0, 1) });

  await mkdir(dir, { recursive: true });
  const bundles: Bundle[] = [];
  for (let n = 0; n < MODELS + 2; n++) {
    const random = seededRandom(1_000 + n);
    const folder = join(dir, `bundle-${n}`);
    const digest = await writePackage(folder, {
      ...sample.manifest,
      version: `1.${n}.0`,
      hardwareClass: n === 1 ? OTHER_HARDWARE : HARDWARE,
      files: {
        ...parts,
        "model.onnx": Uint8Array.from({ length: 1_500 + n }, () => upTo(256, random)),
        "calibration.json": text({ ...sample.calibration, temperature: 1 + n / 100 }),
      },
    });
    const made = await loadPackage(folder, { digest });
    const files = new Map<string, Uint8Array>();
    for (const path of Object.keys(made.manifest.files)) files.set(path, await readPackageFile(made, path));
    const manifest = new Uint8Array(await readFile(join(folder, "manifest.json")));
    bundles.push({
      digest,
      manifest,
      files,
      listed: { ...listedPartOf(made.manifest), manifestBytes: manifest.length },
    });
    await rm(folder, { recursive: true });
  }
  return bundles;
}

const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
