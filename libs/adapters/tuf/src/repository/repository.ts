/** The repository's side: lists and delists models, and keeps metadata from expiring. State is what the store holds and the
 * roots verify; nothing else is trusted, and nothing is kept elsewhere.
 *
 * S1. `timestamp.json` is written last: it alone makes a change visible, so a crash leaves the set before or the set after.
 * S3. Versions only increase. Metadata that a device would refuse for its size is not signed.
 * S4. One writer. */
import type { ListedModel } from "@tributary/inference";
import { type Clock, type Digest, Failure, invariant, reasonOf } from "@tributary/kernel";
import { Metadata, MetadataKind, type Root, type Snapshot, type Targets, type Timestamp } from "@tufjs/models";
import { expiresAt, fileOf, metadataBytesMax, type SignedPart } from "../metadata.ts";
import { listedModelOf } from "../target.ts";
import type { Signer } from "./keys.ts";
import type { MetadataStore } from "./metadata-store.ts";
import { checkRoot, type OnlineRole, onlineRoles } from "./root.ts";
import { type Named, snapshotBytes, targetsBytes, timestampBytes } from "./sign.ts";

export type Lifetimes = Readonly<Record<`${OnlineRole}Ms`, number>>;
const DAY_MS = 24 * 3_600_000;
/** Shorter lives limit the damage of a stolen key or a freezing server; the timestamp's is how long the registry may be down. */
export const lifetimes: Lifetimes = { timestampMs: DAY_MS, snapshotMs: 7 * DAY_MS, targetsMs: 90 * DAY_MS };

const ROOTS_MAX = 1_024;
/** Older versions of snapshot and targets than this many are deleted: a device in the middle of a refresh finishes it. */
const VERSIONS_KEPT = 16;

export type RepositoryOptions = {
  readonly store: MetadataStore;
  readonly signers: Readonly<Record<OnlineRole, Signer>>;
  readonly clock: Clock;
  readonly lifetimes?: Partial<Lifetimes>;
};

type State = {
  readonly root: Metadata<Root>;
  readonly rootBytes: Uint8Array;
  readonly models: ReadonlyMap<Digest, ListedModel>;
  readonly targets: Named & { readonly signed: SignedPart };
  readonly snapshot: Named & { readonly signed: SignedPart };
  readonly timestamp: { readonly version: number; readonly signed: SignedPart };
};

export class TufRepository {
  readonly #options: RepositoryOptions;
  readonly #lifetimes: Lifetimes;
  #state: State | undefined;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(options: RepositoryOptions) {
    this.#options = options;
    this.#lifetimes = { ...lifetimes, ...options.lifetimes };
  }

  /** Throws Failure `tuf-repository-empty` (no root), `tuf-repository-broken`, `tuf-key-not-named`. Signs what is missing,
   * signed by keys that the newest root no longer names, or half through its life. */
  static async open(options: RepositoryOptions): Promise<TufRepository> {
    const repository = new TufRepository(options);
    await repository.#load();
    await repository.refresh();
    return repository;
  }

  listed(): ReadonlyMap<Digest, ListedModel> {
    return this.#known.models;
  }

  rootVersion(): number {
    return this.#known.root.signed.version;
  }

  /** The time from which devices refuse: the first of all roles expires, in milliseconds since 1970. */
  expiresAt(): number {
    const { root, targets, snapshot, timestamp } = this.#known;
    return Math.min(...[root, targets, snapshot, timestamp].map(({ signed }) => expiresAt(signed)));
  }

  /** The root's own end: only its holders can sign a next one. */
  rootExpiresAt(): number {
    return expiresAt(this.#known.root.signed);
  }

  /** Resolves once devices can see it. A model that is listed as it is changes nothing. Throws Failure `tuf-targets-full`. */
  list(modelDigest: Digest, model: ListedModel): Promise<void> {
    return this.#change((models) => models.set(modelDigest, model));
  }

  /** A device that runs it keeps it; no device installs it any more. */
  delist(modelDigest: Digest): Promise<void> {
    return this.#change((models) => models.delete(modelDigest));
  }

  /** Signs again what is half through its life, and returns whether anything was; call it every quarter of the timestamp's,
   * or more often. The root is not among it. */
  refresh(): Promise<boolean> {
    return this.#alone(() => this.#publish(this.#known.models, { force: false }));
  }

  /** The next root, signed by its holders. The signers must be those it names. Everything is signed again. */
  publishRoot(bytes: Uint8Array): Promise<void> {
    return this.#alone(async () => {
      const root = checkRoot(this.#known.rootBytes, bytes);
      this.#checkSigners(root);
      await this.#options.store.put(fileOf("root", root.signed.version), bytes);
      this.#state = { ...this.#known, root, rootBytes: bytes };
      await this.#publish(this.#known.models, { force: true });
    });
  }

  get #known(): State {
    invariant(this.#state !== undefined, "open loads the state");
    return this.#state;
  }

  async #change(edit: (models: Map<Digest, ListedModel>) => void): Promise<void> {
    await this.#alone(() => {
      const models = new Map(this.#known.models);
      edit(models);
      return this.#publish(models, { force: false });
    });
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#last.then(work);
    this.#last = run.catch(() => {});
    return run;
  }

  /** S1, S3. A role is signed again when its content changed, when half its life is over, or by force. Whether any was. */
  async #publish(models: ReadonlyMap<Digest, ListedModel>, { force }: { force: boolean }): Promise<boolean> {
    const { store, signers, clock } = this.#options;
    const known = this.#known;
    const now = clock.now();
    const { timestampMs, snapshotMs, targetsMs } = this.#lifetimes;
    const isDue = ({ version, signed }: { version: number; signed: SignedPart }, lifetimeMs: number) =>
      force || version === 0 || expiresAt(signed) - now <= lifetimeMs / 2;

    let { targets, snapshot } = known;
    if (isDue(targets, targetsMs) || !sameModels(models, known.models)) {
      const common = { version: targets.version + 1, now, lifetimeMs: targetsMs };
      targets = named(MetadataKind.Targets, targetsBytes({ ...common, targets: models }, [signers.targets]));
      if (targets.bytes.length > metadataBytesMax.targets) {
        const what = `${models.size} models need ${targets.bytes.length} bytes, at most ${metadataBytesMax.targets}`;
        throw new Failure("tuf-targets-full", "ask-a-person", `${what}: delist models that nobody runs`);
      }
    }
    if (targets !== known.targets || isDue(snapshot, snapshotMs)) {
      const common = { version: snapshot.version + 1, now, lifetimeMs: snapshotMs };
      snapshot = named(MetadataKind.Snapshot, snapshotBytes({ ...common, targets }, [signers.snapshot]));
    }
    if (snapshot === known.snapshot && !isDue(known.timestamp, timestampMs)) return false;
    const common = { version: known.timestamp.version + 1, now, lifetimeMs: timestampMs };
    const timestamp = named(MetadataKind.Timestamp, timestampBytes({ ...common, snapshot }, [signers.timestamp]));

    if (targets !== known.targets) await store.put(fileOf("targets", targets.version), targets.bytes);
    if (snapshot !== known.snapshot) await store.put(fileOf("snapshot", snapshot.version), snapshot.bytes);
    await store.put(fileOf("timestamp", timestamp.version), timestamp.bytes);
    this.#state = { ...known, models, targets, snapshot, timestamp };
    await this.#prune();
    return true;
  }

  async #prune(): Promise<void> {
    const { store } = this.#options;
    const { targets, snapshot } = this.#known;
    for (const [role, { version }] of [
      ["targets", targets],
      ["snapshot", snapshot],
    ] as const) {
      if (version > VERSIONS_KEPT) await store.delete(fileOf(role, version - VERSIONS_KEPT));
    }
  }

  async #load(): Promise<void> {
    const { store } = this.#options;
    const roots = await this.#roots();
    const newest = roots.at(-1);
    invariant(newest !== undefined, "there is a first root");
    this.#checkSigners(newest.root);
    const empty = { version: 0, bytes: new Uint8Array(), signed: { version: 0, expires: "", unrecognizedFields: {} } };
    const state = { root: newest.root, rootBytes: newest.bytes, models: new Map<Digest, ListedModel>() };
    const timestampBytes = await store.get(fileOf("timestamp", 0));
    if (timestampBytes === undefined) {
      this.#state = { ...state, targets: empty, snapshot: empty, timestamp: empty };
      return;
    }
    // Since the last root its keys may be others: the one before is asked too, and all is signed again.
    const verifiers = roots.slice(-2).map(({ root }) => root);
    const timestamp = verified<Timestamp>(MetadataKind.Timestamp, "timestamp.json", timestampBytes, verifiers);
    const snapshotFile = fileOf("snapshot", timestamp.signed.snapshotMeta.version);
    const ofSnapshot = await this.#present(snapshotFile);
    const snapshot = verified<Snapshot>(MetadataKind.Snapshot, snapshotFile, ofSnapshot, verifiers);
    const targetsFile = fileOf("targets", snapshot.signed.meta["targets.json"]?.version ?? 0);
    const ofTargets = await this.#present(targetsFile);
    const targets = verified<Targets>(MetadataKind.Targets, targetsFile, ofTargets, verifiers);
    for (const [path, entry] of Object.entries(targets.signed.targets)) {
      const model = listedModelOf(path, entry);
      if (model === undefined) throw broken(targetsFile, `"${path}" is no target of ours`);
      state.models.set(...model);
    }
    this.#state = {
      ...state,
      targets: { version: targets.signed.version, bytes: ofTargets, signed: targets.signed },
      snapshot: { version: snapshot.signed.version, bytes: ofSnapshot, signed: snapshot.signed },
      timestamp: { version: timestamp.signed.version, signed: timestamp.signed },
    };
    const isOfNewestRoot = [timestamp, snapshot, targets].every((metadata) => isSignedUnder(newest.root, metadata));
    if (!isOfNewestRoot) await this.#publish(state.models, { force: true });
  }

  async #roots(): Promise<readonly { readonly root: Metadata<Root>; readonly bytes: Uint8Array }[]> {
    const roots: { root: Metadata<Root>; bytes: Uint8Array }[] = [];
    for (let version = 1; version <= ROOTS_MAX; version++) {
      const bytes = await this.#options.store.get(fileOf("root", version));
      if (bytes === undefined) break;
      roots.push({ root: checkRoot(roots.at(-1)?.bytes, bytes), bytes });
    }
    if (roots.length > 0) return roots;
    const message = "no 1.root.json: make keys and a root with `tributary models keys init`";
    throw new Failure("tuf-repository-empty", "ask-a-person", message);
  }

  async #present(file: string): Promise<Uint8Array> {
    const bytes = await this.#options.store.get(file);
    if (bytes === undefined) throw broken(file, "missing, and other metadata names it");
    return bytes;
  }

  #checkSigners(root: Metadata<Root>): void {
    for (const role of onlineRoles) {
      const { keyID } = this.#options.signers[role].publicKey;
      const { keyIDs = [], threshold = 1 } = root.signed.roles[role] ?? {};
      if (keyIDs.includes(keyID) && threshold === 1) continue;
      const what = `root ${root.signed.version} does not let key ${keyID.slice(0, 8)} alone sign ${role}`;
      const message = `${what}; it names ${keyIDs.map((id) => id.slice(0, 8)).join(", ")}, ${threshold} of them`;
      throw new Failure("tuf-key-not-named", "ask-a-person", message);
    }
  }
}

function named(kind: MetadataKind.Targets | MetadataKind.Snapshot | MetadataKind.Timestamp, bytes: Uint8Array) {
  const { signed } = Metadata.fromJSON(kind as MetadataKind.Targets, JSON.parse(new TextDecoder().decode(bytes)));
  return { version: signed.version, bytes, signed: signed as SignedPart };
}

function verified<T extends Timestamp | Snapshot | Targets>(
  kind: MetadataKind.Targets | MetadataKind.Snapshot | MetadataKind.Timestamp,
  file: string,
  bytes: Uint8Array,
  roots: readonly Metadata<Root>[],
): Metadata<T> {
  try {
    const metadata = Metadata.fromJSON(kind as MetadataKind.Targets, JSON.parse(new TextDecoder().decode(bytes)));
    if (roots.some((root) => isSignedUnder(root, metadata))) return metadata as unknown as Metadata<T>;
  } catch (error) {
    throw broken(file, reasonOf(error));
  }
  throw broken(file, "not signed by the keys that the roots name");
}

function isSignedUnder(root: Metadata<Root>, metadata: Metadata<Timestamp | Snapshot | Targets>): boolean {
  try {
    root.verifyDelegate(metadata.signed.type, metadata as Metadata<Targets>);
    return true;
  } catch {
    return false;
  }
}

function sameModels(a: ReadonlyMap<Digest, ListedModel>, b: ReadonlyMap<Digest, ListedModel>): boolean {
  if (a.size !== b.size) return false;
  const keys = ["name", "version", "hardwareClass", "packageBytes", "manifestBytes"] as const;
  return [...a].every(([digest, model]) => {
    const other = b.get(digest);
    return other !== undefined && keys.every((key) => model[key] === other[key]);
  });
}

const broken = (file: string, what: string) =>
  new Failure("tuf-repository-broken", "ask-a-person", `stored metadata ${file}: ${what}`);
