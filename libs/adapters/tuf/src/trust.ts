/** A device's trust: the models that verified TUF metadata lists.
 *
 * tuf-js decides (signatures, thresholds, versions, hashes, expiry) in its `TrustedMetadataStore`: bytes in, verdict out. Its
 * `Updater`, which would fetch and store around it, is not used: it reads the wall clock, writes files that a loss of power
 * halves, turns verdicts into texts, and lets a timestamp set how many bytes to read. The order of steps is the specification's
 * ("detailed client workflow", TUF 1.0.31, 5.3 to 5.6).
 *
 * T1. Every root follows from the one the device was provisioned with: version by version, each signed by the thresholds of the
 *     one before and of itself. The same holds for those on disk, at every start.
 * T2. No rollback: verified metadata is on disk before it is used, and the next must be newer. A root that was known and cannot
 *     be fetched again is an error, not a return to an older one.
 * T3. Time is never earlier than the newest `x-signed-at` of what is verified and held under the present root: a floor for
 *     devices without a clock, which a wrong clock cannot lower. Keys that a root no longer names take their floor with them.
 * T4. `listed` answers from one whole set (root, timestamp, snapshot, targets) of which no part has expired, or not at all.
 * T5. A file on disk that does not verify is renamed to `.refused` and fetched again.
 * T6. Bytes of each file, roots a refresh, and time are bounded, whatever the server or other metadata claim. */
import { mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import type { ListedModel } from "@tributary/inference";
import { type Clock, type Digest, type Instant, invariant, linkedSignal, reasonOf } from "@tributary/kernel";
import { readBounded, writeDurably } from "@tributary/kernel/durable-file";
import type { Metadata, Timestamp } from "@tufjs/models";
import type { TrustedMetadataStore } from "tuf-js/dist/store.js";
import { isEqualVersion, isOutdated, type TufCode, tufFailure, tufFailureOf } from "./failures.ts";
import { type MetadataFetcher, readBody, unavailable } from "./fetcher.ts";
import { expiresAt, fileOf, metadataBytesMax, type Role, type SignedPart, signedAt } from "./metadata.ts";
import { listedModelOf } from "./target.ts";

export interface TrustedModels {
  /** Fetches and verifies metadata. Throws Failure `tuf-…`. One at a time; a second waits for the first. */
  refresh(signal: AbortSignal): Promise<void>;
  /** From verified metadata; undefined when the digest is not listed (any more), or metadata is expired or incomplete (T4). */
  listed(modelDigest: Digest): ListedModel | undefined;
  /** For people and reports. */
  state(): TrustState;
}

export type TrustState = {
  readonly rootVersion: number;
  /** Zero: none verified. */
  readonly timestampVersion: number;
  readonly targetsVersion: number;
  readonly models: number;
  /** When the first part of the verified set expires; undefined without one. */
  readonly expiresAt: Instant | undefined;
  /** It is at least so late (T3). */
  readonly floor: Instant;
  /** Files of this process' life that did not verify (T5). */
  readonly filesSetAside: number;
};

export type TrustLimits = {
  readonly bytesMax: Readonly<Record<Role, number>>;
  /** Roots followed in one refresh. More are followed by the next. */
  readonly rootsMax: number;
  /** Of one refresh. */
  readonly refreshMsMax: number;
  /** With a set clock: how far in the future metadata may have been signed. */
  readonly signedAheadMsMax: number;
};

export const trustLimits: TrustLimits = {
  bytesMax: metadataBytesMax,
  rootsMax: 64,
  refreshMsMax: 120_000,
  signedAheadMsMax: 24 * 3_600_000,
};

export type TrustOptions = {
  /** Kept for this alone. */
  readonly dir: string;
  /** A root the device was given in a trusted way, of any version; not necessarily the newest. */
  readonly rootBytes: Uint8Array;
  /** Where `timestamp.json` is, without it. */
  readonly metadataUrl: string;
  readonly fetcher: MetadataFetcher;
  readonly clock: Clock;
  /** False while the device does not know the time: then the floor is the time (T3). */
  readonly isClockSet?: () => boolean;
  readonly limits?: Partial<TrustLimits>;
};

/** Reads and verifies what is on disk; needs no network. Throws Failure `tuf-root-invalid`. Loads tuf-js now, not on import. */
export async function openTrust(options: TrustOptions): Promise<TrustedModels> {
  const { TrustedMetadataStore } = await import("tuf-js/dist/store.js");
  await stored(options.dir, mkdir(options.dir, { recursive: true }));
  const trust = new Trust(options, (root) => new TrustedMetadataStore(root));
  await trust.start();
  return trust;
}

/** Undefined bytes: the server has no such file. Without a fetcher only the disk is read. */
type Fetch = (role: Role, file: string, bytesMax: number) => Promise<Buffer | undefined>;

type View = {
  readonly models: ReadonlyMap<Digest, ListedModel>;
  readonly targetsVersion: number;
  readonly expiresAt: Instant;
};

class Trust implements TrustedModels {
  readonly #options: TrustOptions;
  readonly #limits: TrustLimits;
  readonly #storeOf: (root: Buffer) => TrustedMetadataStore;
  #view: View | undefined;
  #floor: Instant = 0;
  #rootVersion = 0;
  #timestampVersion = 0;
  #filesSetAside = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(options: TrustOptions, storeOf: (root: Buffer) => TrustedMetadataStore) {
    this.#options = options;
    this.#limits = { ...trustLimits, ...options.limits };
    this.#storeOf = storeOf;
  }

  start(): Promise<void> {
    return this.#verify(undefined);
  }

  refresh(signal: AbortSignal): Promise<void> {
    const run = this.#last.then(() => this.#refresh(signal));
    this.#last = run.catch(() => {});
    return run;
  }

  listed(modelDigest: Digest): ListedModel | undefined {
    if (this.#view === undefined || this.#now() >= this.#view.expiresAt) return undefined;
    return this.#view.models.get(modelDigest);
  }

  state(): TrustState {
    return {
      rootVersion: this.#rootVersion,
      timestampVersion: this.#timestampVersion,
      targetsVersion: this.#view?.targetsVersion ?? 0,
      models: this.#view?.models.size ?? 0,
      expiresAt: this.#view?.expiresAt,
      floor: this.#floor,
      filesSetAside: this.#filesSetAside,
    };
  }

  async #refresh(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { clock, fetcher, metadataUrl } = this.#options;
    const { refreshMsMax, bytesMax } = this.#limits;
    const running = linkedSignal(signal);
    const timer = linkedSignal();
    const slow = tufFailure("tuf-slow", `${metadataUrl}: not done within ${refreshMsMax} ms`);
    void clock.sleep(refreshMsMax, timer.signal).then(
      () => running.abort(slow),
      () => {},
    );
    const fetch: Fetch = async (role, file, bytes) => {
      running.signal.throwIfAborted();
      const url = `${metadataUrl.replace(/\/$/, "")}/${file}`;
      const body = await raced(fetcher.fetch(url, running.signal), running.signal).catch((error: unknown) => {
        throw unavailable(url, error);
      });
      return body && readBody(body, file, Math.min(bytes, bytesMax[role]), running.signal);
    };
    try {
      await this.#verify(fetch);
    } catch (error) {
      throw running.signal.aborted ? running.signal.reason : error;
    } finally {
      timer.abort();
      running.unlink();
    }
  }

  /** One pass of the client workflow: over the disk alone, or over disk and network. */
  async #verify(fetch: Fetch | undefined): Promise<void> {
    const pass = new Pass(this.#options, this.#limits, this.#storeOf, fetch);
    try {
      await pass.roots().finally(() => this.#rootIs(pass.store.root.signed.version));
      const isNew = await pass.timestamp();
      const timestamp = pass.store.timestamp;
      if (timestamp === undefined) return;
      // The same timestamp as before: the set is the one that was verified.
      const isSame = !isNew && timestamp.signed.version === this.#timestampVersion;
      if (isSame && this.#view !== undefined && pass.now < this.#view.expiresAt) return;
      this.#view = undefined; // T4: until the rest has followed.
      this.#timestampVersion = timestamp.signed.version;
      if (!(await pass.snapshot(timestamp)) || !(await pass.targets())) return;
      this.#view = pass.view();
    } catch (error) {
      // At the start an incomplete or expired set is not an error: it is refreshed soon.
      if (fetch !== undefined || (error as { code?: unknown }).code === "tuf-root-invalid") throw error;
    } finally {
      this.#floor = pass.floor;
      this.#filesSetAside += pass.filesSetAside;
    }
  }

  #rootIs(version: number): void {
    if (version === this.#rootVersion) return;
    this.#rootVersion = version;
    this.#view = undefined; // Its keys may be gone.
    this.#timestampVersion = 0;
  }

  #now(): Instant {
    return Math.max(this.#floor, timeOf(this.#options));
  }
}

/** One verification, with a store of its own, since tuf-js' goes through its steps once. */
class Pass {
  readonly store: TrustedMetadataStore;
  floor: Instant = 0;
  filesSetAside = 0;
  readonly #options: TrustOptions;
  readonly #limits: TrustLimits;
  readonly #fetch: Fetch | undefined;
  now: Instant;

  constructor(
    options: TrustOptions,
    limits: TrustLimits,
    storeOf: (root: Buffer) => TrustedMetadataStore,
    fetch: Fetch | undefined,
  ) {
    this.#options = options;
    this.#limits = limits;
    this.#fetch = fetch;
    this.now = timeOf(options);
    this.store = rootStore(storeOf, options.rootBytes);
    this.#raise(this.store.root.signed);
  }

  async roots(): Promise<void> {
    const { store } = this;
    const had = await this.#newestRootOnDisk();
    for (let followed = 0; followed < this.#limits.rootsMax; ) {
      const file = fileOf("root", store.root.signed.version + 1);
      const isLocal = await this.#local("root", file, (bytes) => store.updateRoot(bytes));
      if (!isLocal) {
        const bytes = await this.#fetch?.("root", file, Number.POSITIVE_INFINITY);
        if (bytes === undefined) break;
        this.#check(file, "tuf-rollback", () => store.updateRoot(bytes));
        await this.#keep(file, bytes);
        followed++;
      }
      this.#raise(store.root.signed);
    }
    const { version } = store.root.signed;
    if (version < had)
      throw tufFailure("tuf-rollback", `root ${had} was here and cannot be had again, only ${version}`);
    this.#notExpired("root", store.root.signed);
  }

  /** True when a newer one was accepted. */
  async timestamp(): Promise<boolean> {
    const { store } = this;
    const file = fileOf("timestamp", 0);
    await this.#local("timestamp", file, (bytes) => store.updateTimestamp(bytes));
    const before = store.timestamp;
    if (before !== undefined) this.#raise(before.signed);
    if (this.#fetch !== undefined) {
      const bytes = await this.#fetched("timestamp", file);
      this.#check(file, "tuf-rollback", () => {
        try {
          store.updateTimestamp(bytes);
        } catch (error) {
          if (!isEqualVersion(error)) throw error; // The server has nothing newer.
        }
      });
      if (store.timestamp !== undefined && store.timestamp !== before) {
        this.#notAhead(file, store.timestamp.signed);
        await this.#keep(file, bytes);
        this.#raise(store.timestamp.signed);
      }
    }
    if (store.timestamp !== undefined) this.#notExpired("timestamp", store.timestamp.signed);
    return store.timestamp !== before;
  }

  /** True when the snapshot is the one that the timestamp names. */
  async snapshot(timestamp: Metadata<Timestamp>): Promise<boolean> {
    const { store } = this;
    const wanted = timestamp.signed.snapshotMeta;
    let isWanted = false;
    await this.#local("snapshot", "snapshot.json", (bytes) => {
      store.updateSnapshot(bytes, true);
      wanted.verify(bytes); // tuf-js takes a file on disk by its version alone.
      isWanted = true;
    });
    if (isWanted) return true;
    if (this.#fetch === undefined) return false;
    const file = fileOf("snapshot", wanted.version);
    const bytes = await this.#fetched("snapshot", file, wanted.length);
    const before = store.snapshot;
    try {
      store.updateSnapshot(bytes);
    } catch (error) {
      // tuf-js takes the new one before it compares it with the timestamp, and not at all if it names older targets.
      throw tufFailureOf(error, file, store.snapshot === before ? "tuf-rollback" : "tuf-mix-and-match");
    }
    await this.#keep("snapshot.json", bytes);
    return true;
  }

  async targets(): Promise<boolean> {
    const { store } = this;
    const wanted = store.snapshot?.signed.meta["targets.json"];
    if (wanted === undefined) throw tufFailure("tuf-malformed", "the snapshot names no targets.json");
    const update = (bytes: Buffer) => store.updateDelegatedTargets(bytes, "targets", "root");
    await this.#local("targets", "targets.json", update);
    if (store.targets !== undefined) return true;
    if (this.#fetch === undefined) return false;
    const file = fileOf("targets", wanted.version);
    const bytes = await this.#fetched("targets", file, wanted.length);
    this.#check(file, "tuf-mix-and-match", () => update(bytes));
    await this.#keep("targets.json", bytes);
    return true;
  }

  /** After `targets`. */
  view(): View {
    const { root, timestamp, snapshot, targets } = this.store;
    invariant(timestamp && snapshot && targets, "a view needs every role");
    const models = new Map<Digest, ListedModel>();
    for (const [path, entry] of Object.entries(targets.signed.targets)) {
      const model = listedModelOf(path, entry);
      if (model !== undefined) models.set(...model);
    }
    const ends = [root.signed, timestamp.signed, snapshot.signed, targets.signed].map(expiresAt);
    return { models, targetsVersion: targets.signed.version, expiresAt: Math.min(...ends) };
  }

  /** T5. True when the file exists and verifies. An outdated one stays until a newer one, compared with it, takes its
   *     place. */
  async #local(role: Role, file: string, update: (bytes: Buffer) => void): Promise<boolean> {
    const path = join(this.#options.dir, file);
    const bytes = await stored(path, readBounded(path, this.#limits.bytesMax[role]));
    if (bytes === undefined) return false;
    try {
      if (bytes === "too-large") throw new Error("larger than any such file");
      update(bytes);
      return true;
    } catch (error) {
      if (role !== "root" && isOutdated(error)) return false;
      await stored(path, rename(path, `${path}.refused`));
      this.filesSetAside++;
      return false;
    }
  }

  async #fetched(role: Role, file: string, bytesMax = Number.POSITIVE_INFINITY): Promise<Buffer> {
    const bytes = await this.#fetch?.(role, file, bytesMax);
    if (bytes === undefined) throw tufFailure("tuf-unavailable", `${this.#options.metadataUrl} has no ${file}`);
    return bytes;
  }

  #check(file: string, onBadVersion: TufCode, update: () => void): void {
    try {
      update();
    } catch (error) {
      throw tufFailureOf(error, file, onBadVersion);
    }
  }

  async #keep(file: string, bytes: Buffer): Promise<void> {
    const path = join(this.#options.dir, file);
    await stored(path, writeDurably(path, bytes));
  }

  /** Includes refused files. */
  async #newestRootOnDisk(): Promise<number> {
    const names = await stored(this.#options.dir, readdir(this.#options.dir));
    return Math.max(0, ...names.map((name) => Number(/^(\d{1,9})\.root\.json(\.refused)?$/.exec(name)?.[1] ?? 0)));
  }

  /** T3: verified just now, so it is at least so late. */
  #raise(signed: SignedPart): void {
    this.floor = Math.max(this.floor, signedAt(signed) ?? 0);
    this.now = Math.max(this.now, this.floor);
    // tuf-js has no other way to set its time; `rootStore` has checked that this is still the field.
    Object.assign(this.store, { referenceTime: new Date(this.now) });
  }

  #notAhead(file: string, signed: SignedPart): void {
    const { clock, isClockSet = () => true } = this.#options;
    const aheadMs = (signedAt(signed) ?? 0) - clock.now();
    if (isClockSet() && aheadMs > this.#limits.signedAheadMsMax) {
      throw tufFailure("tuf-signed-ahead", `${file} was signed ${aheadMs} ms in the future by this device's clock`);
    }
  }

  #notExpired(role: Role, signed: SignedPart): void {
    if (this.now < expiresAt(signed)) return;
    const now = new Date(this.now).toISOString();
    throw tufFailure("tuf-expired", `${role} ${signed.version} expired at ${signed.expires}, now is ${now}`);
  }
}

const timeOf = ({ clock, isClockSet = () => true }: TrustOptions): Instant => (isClockSet() ? clock.now() : 0);

function rootStore(storeOf: (root: Buffer) => TrustedMetadataStore, rootBytes: Uint8Array): TrustedMetadataStore {
  try {
    const store = storeOf(Buffer.from(rootBytes));
    invariant("referenceTime" in store, "tuf-js keeps its time elsewhere now: see Pass.#raise");
    return store;
  } catch (error) {
    throw tufFailure("tuf-root-invalid", `the root given to this device: ${reasonOf(error)}`, error);
  }
}

const stored = <T>(path: string, work: Promise<T>): Promise<T> =>
  work.catch((error: unknown) => {
    throw tufFailure("tuf-storage", `${path}: ${reasonOf(error)}`, error);
  });

function raced<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  promise.catch(() => {});
  work.catch(() => {});
  return Promise.race([work, promise]).finally(() => signal.removeEventListener("abort", onAbort));
}
