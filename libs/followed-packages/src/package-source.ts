/**
 * Packages of the model registry in `dataDir`: fetched and verified as devices do it, and which one each reference had last.
 *
 * P1. A package counts as stored only once every byte was checked: against signed metadata where a root of trust is configured,
 *     and against the digest in models.v1 always. Stored packages are hashed again before they are used, and need no registry.
 * P2. One fetch at a time, so at most two packages a reference are on disk: others are deleted before more bytes come (G9).
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Model } from "@tributary/contracts";
import { type Clock, type Digest, Failure, isDigest, reasonOf } from "@tributary/kernel";
import { readBounded, writeDurably } from "@tributary/kernel/durable-file";
import { fetchPackage, PackageFolders } from "@tributary/model-store/fetch";
import { httpFetcher, openTrust, type TrustedModels } from "@tributary/tuf";
import type { PackageSettings } from "./config.ts";

const ACTIVE_FILE = "active.json";
const ACTIVE_BYTES_MAX = 1 << 20;

export type PackageSourceOptions = {
  readonly dataDir: string;
  readonly modelRegistry: NonNullable<PackageSettings["modelRegistry"]>;
  readonly clock: Clock;
  /** Digests that may not be deleted. */
  readonly inUse: () => readonly Digest[];
};

export class PackageSource {
  readonly #options: PackageSourceOptions;
  readonly #folders: PackageFolders;
  readonly #headers: Readonly<Record<string, string>>;
  #trust: Promise<TrustedModels> | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: PackageSourceOptions) {
    const { dataDir, modelRegistry } = options;
    this.#options = options;
    this.#folders = new PackageFolders(join(dataDir, "models"));
    this.#headers = modelRegistry.token === undefined ? {} : { authorization: `Bearer ${modelRegistry.token}` };
  }

  /** Folder of a package that is stored whole; undefined: it is not. P1 */
  async stored(digest: Digest): Promise<string | undefined> {
    return (await this.#folders.has(digest)) ? this.#folders.packageDir(digest) : undefined;
  }

  /** Its folder, fetched if need be. Throws Failure. P2 */
  bring(model: Model, signal: AbortSignal): Promise<string> {
    return this.#inTurn(async () => {
      signal.throwIfAborted();
      const { modelDigest: digest, name, version } = model;
      const dir = await this.stored(digest);
      if (dir !== undefined) return dir;
      await this.#folders.prune([...this.#options.inUse(), digest]);
      const { url, packageBytesMax, trustRoot } = this.#options.modelRegistry;
      const options = {
        registry: url,
        headers: this.#headers,
        wanted: { digest, name, version },
        packageBytesMax,
        bytesPerSecondMax: Number.POSITIVE_INFINITY,
      };
      const trust = trustRoot === undefined ? null : await this.#trusted(trustRoot);
      const ports = { trust, packageStore: this.#folders, clock: this.#options.clock, onProgress: () => {} };
      await fetchPackage(options, ports, signal);
      return this.#folders.packageDir(digest);
    });
  }

  /** Deletes what is neither active nor wanted. */
  prune(): Promise<void> {
    return this.#inTurn(() => this.#folders.prune(this.#options.inUse()));
  }

  /** What each reference had last. */
  async lastActive(): Promise<ReadonlyMap<string, Digest>> {
    const bytes = await readBounded(join(this.#folders.dir, ACTIVE_FILE), ACTIVE_BYTES_MAX).catch(() => undefined);
    if (bytes === undefined || bytes === "too-large") return new Map();
    try {
      const entries = Object.entries(JSON.parse(bytes.toString("utf8")) as Record<string, unknown>);
      return new Map(entries.filter((entry): entry is [string, Digest] => isDigest(entry[1] as string)));
    } catch {
      return new Map(); // The next start fetches again.
    }
  }

  remember(active: ReadonlyMap<string, Digest>): Promise<void> {
    const text = `${JSON.stringify(Object.fromEntries(active))}\n`;
    return this.#inTurn(() => writeDurably(join(this.#folders.dir, ACTIVE_FILE), Buffer.from(text)));
  }

  /** Opened when it is first needed, and again after that failed. */
  #trusted(trustRoot: string): Promise<TrustedModels> {
    this.#trust ??= this.#openTrust(trustRoot).catch((error: unknown) => {
      this.#trust = undefined;
      throw error;
    });
    return this.#trust;
  }

  async #openTrust(trustRoot: string): Promise<TrustedModels> {
    const { modelRegistry, clock } = this.#options;
    return openTrust({
      dir: join(this.#folders.dir, "tuf"),
      rootBytes: await readFile(trustRoot).catch((error: unknown) => {
        const message = `modelRegistry.trustRoot: ${reasonOf(error)}`;
        throw new Failure("trust-root-unreadable", "ask-a-person", message, { cause: error });
      }),
      metadataUrl: `${modelRegistry.url.replace(/\/$/, "")}/tuf`,
      fetcher: httpFetcher(this.#headers),
      clock,
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }
}
