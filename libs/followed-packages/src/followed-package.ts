/**
 * One NAME@ALIAS, kept at the package that it names. What happens next is decided by following.ts (W1 to W3) of
 * @tributary/models; this acts on it, one step after the other.
 */
import type { Model } from "@tributary/contracts";
import { codeOf } from "@tributary/kafka";
import {
  type Backoff,
  backoffMs,
  type Clock,
  type Digest,
  linkedSignal,
  type Random,
  reasonOf,
} from "@tributary/kernel";
import {
  attemptsAt,
  type Following,
  failedAt,
  type ModelReference,
  type ModelTable,
  nextStep,
  nothingActive,
  type Resolved,
  resolveReference,
  taken,
} from "@tributary/models";
import type { Telemetry } from "@tributary/telemetry";
import { packageRefused, packageTaken } from "./events.ts";
import type { PackageSource } from "./package-source.ts";

/** Makes a package active, beside the one before, and closes that one then. What it throws leaves the one before as it is. */
export type UsePackage = (dir: string, digest: Digest) => Promise<void>;

export type FollowedPackageOptions = {
  /** As it is configured, for people and metrics. */
  readonly text: string;
  readonly reference: ModelReference;
  readonly use: UsePackage;
  readonly models: ModelTable;
  readonly source: Pick<PackageSource, "bring" | "stored" | "prune">;
  readonly retryMsMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly onTaken: () => Promise<void>;
  readonly signal: AbortSignal;
};

const RETRY_MS_MIN = 1_000;
/** A version and its alias are in two topics: one may be read before the other. */
const UNRESOLVED_MS_MAX = 1_000;
const IDLE_MS = 3_600_000;

export class FollowedPackage {
  readonly #options: FollowedPackageOptions;
  #following: Following = nothingActive;
  #isTableRead = false;
  #problem: { readonly code: string; readonly reason: string } | null = null;
  #unresolvedSinceMs: number | null = null;
  #fetching: { readonly digest: Digest; readonly abort: () => void } | null = null;
  #wake: () => void = () => {};

  constructor(options: FollowedPackageOptions) {
    this.#options = options;
  }

  get active(): Digest | null {
    return this.#following.active;
  }

  /** Null while the reference names no package. */
  get wanted(): Digest | null {
    const resolved = this.#resolve();
    return resolved.kind === "model" ? resolved.model.modelDigest : null;
  }

  /** Null: nothing is wrong. */
  get problem(): string | null {
    const { text } = this.#options;
    if (this.#problem !== null) return `${text}: ${this.#problem.reason} (${this.#problem.code})`;
    if (this.active !== null) return null;
    return this.#isTableRead ? `${text}: its package is being fetched` : `${text}: models.v1 is being read`;
  }

  /** models.v1 or models.aliases.v1 has changed, all of what was there being read. */
  changed(): void {
    this.#isTableRead = true;
    if (this.#fetching !== null && this.#fetching.digest !== this.wanted) this.#fetching.abort(); // W3
    this.#wake();
  }

  /** Until the signal aborts. `last`: what was active before the process started. */
  async run(last: Digest | undefined): Promise<void> {
    const { clock, signal } = this.#options;
    if (last !== undefined) await this.#resume(last);
    while (!signal.aborted) {
      if (!this.#isTableRead) {
        await this.#pause(IDLE_MS);
        continue;
      }
      const resolved = this.#resolve();
      const step = nextStep(this.#following, digestIn(resolved), clock.monotonicMs());
      if (step.kind === "take" && resolved.kind === "model") await this.#take(resolved.model);
      else if (step.kind === "wait") await this.#pause(step.untilMs - clock.monotonicMs());
      else await this.#rest(resolved);
    }
  }

  #resolve(): Resolved {
    return resolveReference(this.#options.models, this.#options.reference);
  }

  /** A stored package needs no registry (package-source.ts P1). */
  async #resume(digest: Digest): Promise<void> {
    const { source } = this.#options;
    const startedMs = this.#options.clock.monotonicMs();
    try {
      const dir = await source.stored(digest);
      if (dir !== undefined) await this.#use(dir, digest, startedMs);
    } catch (error) {
      this.#refused(digest, codeOf(error), reasonOf(error));
    }
  }

  async #rest(resolved: Resolved): Promise<void> {
    const { clock } = this.#options;
    if (resolved.kind === "model") {
      this.#problem = null;
      this.#unresolvedSinceMs = null;
      return this.#pause(IDLE_MS);
    }
    const now = clock.monotonicMs();
    this.#unresolvedSinceMs ??= now;
    const leftMs = this.#unresolvedSinceMs + UNRESOLVED_MS_MAX - now;
    if (leftMs > 0) return this.#pause(leftMs);
    const { code, reason } = resolved;
    if (this.#problem?.code !== code) this.#refused(null, code, reason);
    return this.#pause(IDLE_MS);
  }

  async #take(model: Model): Promise<void> {
    const { source, clock, random, retryMsMax, signal } = this.#options;
    const { modelDigest: digest } = model;
    this.#unresolvedSinceMs = null;
    const startedMs = clock.monotonicMs();
    const fetching = linkedSignal(signal);
    this.#fetching = { digest, abort: () => fetching.abort() };
    try {
      const dir = await source.bring(model, fetching.signal);
      this.#fetching = null;
      await this.#use(dir, digest, startedMs);
      await source.prune();
    } catch (error) {
      if (fetching.signal.aborted) return; // W3, or the process stops.
      const backoff: Backoff = { minMs: RETRY_MS_MIN, maxMs: retryMsMax };
      const waitMs = backoffMs(backoff, attemptsAt(this.#following, digest), random);
      this.#following = failedAt(this.#following, digest, clock.monotonicMs() + waitMs); // W1, W2
      this.#refused(digest, codeOf(error), reasonOf(error));
    } finally {
      this.#fetching = null;
      fetching.unlink();
    }
  }

  async #use(dir: string, digest: Digest, startedMs: number): Promise<void> {
    const { text, use, clock, telemetry, onTaken } = this.#options;
    const before = this.active;
    await use(dir, digest);
    this.#following = taken(digest);
    this.#problem = null;
    telemetry.emit(packageTaken, { reference: text, modelDigest: digest, before, ms: clock.monotonicMs() - startedMs });
    await onTaken();
  }

  #refused(modelDigest: Digest | null, code: string, reason: string): void {
    const { text, telemetry } = this.#options;
    this.#problem = { code, reason };
    telemetry.emit(packageRefused, { reference: text, modelDigest, active: this.active, code, reason });
  }

  async #pause(ms: number): Promise<void> {
    const woken = linkedSignal(this.#options.signal);
    this.#wake = () => woken.abort();
    await this.#options.clock.sleep(ms, woken.signal).catch(() => {});
    woken.unlink();
    this.#wake = () => {};
  }
}

const digestIn = (resolved: Resolved): Digest | null => (resolved.kind === "model" ? resolved.model.modelDigest : null);
