/**
 * The packages that devices run, by digest: from configured folders, or fetched from the model registry once models.v1 lists
 * them.
 *
 * P1. A digest that nothing lists is remembered by name, and fetched when models.v1 lists it. What devices send of it until
 *     then is not folded, but counted.
 * P2. `fetched` waits for the first attempt only: a model registry that is away delays no other package's records for longer.
 *     Later attempts run beside, with backoff.
 * P3. (G9) The number of packages in memory is bounded; the one that was not asked for the longest goes, and is fetched again
 *     when it is. Digests that nothing lists go first: a device can invent them (G13). Those of configured folders and those that a configured NAME@ALIAS names now stay.
 */
import type { DriftReference } from "@tributary/drift";
import { codeOf } from "@tributary/kafka";
import { backoffMs, type Clock, type Digest, isDigest, type Random, reasonOf } from "@tributary/kernel";
import type { ModelTable } from "@tributary/models";
import type { Telemetry } from "@tributary/telemetry";
import { packageLoaded, packageMissing } from "../events.ts";

export type PackagesOptions = {
  readonly models: Pick<ModelTable, "byDigest">;
  /** Null: there is no model registry. */
  readonly fetch: ((digest: Digest, signal: AbortSignal) => Promise<DriftReference>) | null;
  readonly packagesMax: number;
  readonly retryMsMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
};

type Entry =
  | { readonly kind: "loaded"; readonly reference: DriftReference; readonly isPinned: boolean }
  | { readonly kind: "fetching"; readonly attempt: number; readonly done: Promise<void> }
  | { readonly kind: "failed"; readonly attempt: number; readonly dueAtMs: number }
  | { readonly kind: "unlisted" };

const RETRY_MS_MIN = 1_000;

export class Packages {
  readonly #options: PackagesOptions;
  readonly #stop = new AbortController();
  /** Named by configured references now. */
  #held: ReadonlySet<Digest> = new Set();
  /** The order is that of use. */
  readonly #entries = new Map<Digest, Entry>();

  constructor(options: PackagesOptions) {
    this.#options = options;
  }

  /** Packages that are wanted and not known. */
  get missing(): number {
    return [...this.#entries.values()].filter(({ kind }) => kind !== "loaded").length;
  }

  get loaded(): number {
    return this.#entries.size - this.missing;
  }

  /** A package of a configured folder. */
  pin(reference: DriftReference): void {
    this.#entries.set(reference.modelDigest, { kind: "loaded", reference, isPinned: true });
  }

  /** Fetches these, which stay until others are held. P3 */
  hold(digests: readonly Digest[]): void {
    this.#held = new Set(digests);
    for (const digest of digests) this.get(digest);
  }

  /** Undefined: not known yet. */
  get(digest: Digest): DriftReference | undefined {
    const entry = this.#entries.get(digest);
    if (entry === undefined) {
      this.#want(digest);
      return undefined;
    }
    this.#entries.delete(digest);
    this.#entries.set(digest, entry); // P3
    if (entry.kind === "unlisted" && this.#isListed(digest)) this.#fetch(digest, 0); // P1
    return entry.kind === "loaded" ? entry.reference : undefined;
  }

  /** P2. Resolves when the first attempts to fetch these packages ended. */
  async fetched(digests: Iterable<Digest>): Promise<void> {
    const pending: Promise<void>[] = [];
    for (const digest of new Set(digests)) {
      this.get(digest);
      const entry = this.#entries.get(digest);
      if (entry?.kind === "fetching" && entry.attempt === 0) pending.push(entry.done);
    }
    await Promise.all(pending);
  }

  /** Fetches what is listed by now, and what failed and is due. */
  retry(): void {
    const now = this.#options.clock.monotonicMs();
    for (const [digest, entry] of this.#entries) {
      if (entry.kind === "unlisted" && this.#isListed(digest))
        this.#fetch(digest, 0); // P1
      else if (entry.kind === "failed" && now >= entry.dueAtMs) this.#fetch(digest, entry.attempt + 1);
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all([...this.#entries.values()].map((entry) => entry.kind === "fetching" && entry.done));
  }

  #want(digest: Digest): void {
    if (!isDigest(digest)) return;
    if (this.#isListed(digest)) this.#fetch(digest, 0);
    else {
      this.#entries.set(digest, { kind: "unlisted" });
      const reason = "neither models.v1 nor a configured folder has it";
      this.#options.telemetry.emit(packageMissing, { modelDigest: digest, code: "package-unlisted", reason });
    }
    this.#trim();
  }

  #isListed(digest: Digest): boolean {
    return this.#options.fetch !== null && this.#options.models.byDigest(digest) !== undefined;
  }

  #fetch(digest: Digest, attempt: number): void {
    const { fetch, clock, random, retryMsMax: maxMs, telemetry } = this.#options;
    if (fetch === null) return;
    const run = async (): Promise<void> => {
      try {
        const reference = await fetch(digest, this.#stop.signal);
        this.#entries.set(digest, { kind: "loaded", reference, isPinned: false });
        const { modelName, modelVersion } = reference;
        telemetry.emit(packageLoaded, { modelDigest: digest, model: `${modelName}@${modelVersion}` });
      } catch (error) {
        const waitMs = backoffMs({ minMs: RETRY_MS_MIN, maxMs }, attempt, random);
        this.#entries.set(digest, { kind: "failed", attempt, dueAtMs: clock.monotonicMs() + waitMs });
        if (this.#stop.signal.aborted) return;
        telemetry.emit(packageMissing, { modelDigest: digest, code: codeOf(error), reason: reasonOf(error) });
      }
    };
    // The entry must be there before the fetch can end.
    const { promise: done, resolve } = Promise.withResolvers<void>();
    this.#entries.set(digest, { kind: "fetching", attempt, done });
    void run().finally(resolve);
  }

  /** P3 */
  #trim(): void {
    for (const goes of [({ kind }: Entry) => kind === "unlisted", () => true]) {
      for (const [digest, entry] of this.#entries) {
        if (this.#entries.size <= this.#options.packagesMax) return;
        const stays =
          entry.kind === "fetching" || (entry.kind === "loaded" && entry.isPinned) || this.#held.has(digest);
        if (!stays && goes(entry)) this.#entries.delete(digest);
      }
    }
  }
}
