/**
 * The budget of FALLBACK frames, shared among the degraded devices by max-min fairness: a device that asks for less than an equal
 * part always gets what it asks for, and what it leaves goes in equal parts to those that ask for more.
 *
 * Each device that asked lately has an account of at most `BURST` tokens. What the fleet's frames earn flows in equal parts into the
 * accounts that are not full, and from full ones on into the others (water-filling); if all are full, into a pool up to the
 * bucket's depth (bucket.ts). A device pays from its account, then from the upper half of the pool; the lower half is what the
 * accounts of newcomers start with. A device that was idle for `IDLE_MS` is forgotten, and the pool gets what its account has.
 *
 * S1. A token is in one place: what is spent is at most what was earned, plus the pool's first tokens. At rest there are at most
 *     the bucket's depth, or `BURST` a device where these are more.
 * S2. A step costs the logarithm of the number of accounts: `level` is what an account that was never full has received, and a heap
 *     has the level at which each of the others is full.
 */
import { invariant, Oldest } from "@tributary/kernel";
import { bucketDepth, bucketInit } from "../bucket.ts";
import { Alarms } from "./alarms.ts";

export type FallbackBudgetSettings = {
  /** Tokens earned a frame of the fleet. */
  readonly share: number;
  readonly burstMs: number;
  /** Devices with an account: of more, those idle longest are forgotten (G9). */
  readonly devicesMax: number;
};

/** Frames of one device at once: what a lost connection held back. */
export const BURST = 4;
const IDLE_MS = 60_000;
/** Of the pool, which devices beyond their accounts may use. */
const POOL_SHARE = 0.5;
/** A token that misses less is whole. */
const ROUNDING = 1e-6;

/** Full, or filling: then it is full once the level is `fullAt`. */
type Account = { fullAt: number | null; askedAt: number; isForgotten: boolean };

export class FallbackBudget {
  readonly #settings: FallbackBudgetSettings;
  /** Idle longest first. */
  readonly #accounts = new Map<string, Account>();
  readonly #oldest = new Oldest(this.#accounts);
  #fills = new Alarms<{ readonly at: number; readonly account: Account }>();
  #filling = 0;
  #level = 0;
  /** In all accounts. */
  #held = 0;
  #pool: number;
  #depth: number;
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor(settings: FallbackBudgetSettings) {
    this.#settings = settings;
    const bucket = bucketInit({ ...settings, reserve: 0 });
    this.#pool = bucket.tokens;
    this.#depth = bucketDepth(bucket, { ...settings, reserve: 0 });
  }

  get devices(): number {
    return this.#accounts.size;
  }

  /** Tokens in the pool and in all accounts. */
  get tokens(): number {
    return this.#pool + this.#held;
  }

  /** A frame of the fleet. */
  earn(): void {
    let left = this.#settings.share;
    while (left > 0 && this.#filling > 0) {
      const next = this.#nextFull();
      const step = Math.min(left / this.#filling, Math.max(0, next.at - this.#level));
      this.#level += step;
      this.#held += step * this.#filling;
      left -= step * this.#filling;
      if (this.#level < next.at - ROUNDING) break;
      this.#fills.due(Number.POSITIVE_INFINITY);
      next.account.fullAt = null;
      this.#filling -= 1;
    }
    if (this.#filling === 0) this.#restart();
    this.#pool = Math.min(this.#poolMax, this.#pool + Math.max(0, left));
  }

  /** The fleet's frame rate changed: the pool gets another depth and stays as full as it was. */
  resize(intervalMs: number): void {
    const { share, burstMs } = this.#settings;
    const before = this.#depth;
    this.#depth = Math.max(1, (share * burstMs) / intervalMs);
    this.#pool = Math.min(this.#poolMax, (this.#pool * this.#depth) / before);
  }

  /** Tokens that the device may spend now. */
  tokensOf(deviceId: string, now: number): number {
    const own = this.#balanceOf(this.#account(deviceId, now));
    return own >= 1 - ROUNDING ? Math.max(1, own) : Math.max(own, this.#pool - (1 - POOL_SHARE) * this.#poolMax);
  }

  /** After `tokensOf` at least 1. */
  take(deviceId: string): void {
    const account = this.#accounts.get(deviceId);
    invariant(account !== undefined, `${deviceId} has an account, as it was asked for its tokens`);
    const own = this.#balanceOf(account);
    if (own < 1 - ROUNDING) {
      this.#pool -= 1;
      return;
    }
    this.#held -= Math.min(1, own);
    this.#setBalance(account, Math.max(0, own - 1));
  }

  get #poolMax(): number {
    return Math.max(0, this.#depth - this.#held);
  }

  #balanceOf({ fullAt }: Account): number {
    return fullAt === null ? BURST : BURST - (fullAt - this.#level);
  }

  #setBalance(account: Account, tokens: number): void {
    const wasFilling = account.fullAt !== null;
    account.fullAt = this.#level + BURST - tokens;
    if (wasFilling) return; // Its entry of the heap comes too early, and is set again then.
    this.#filling += 1;
    this.#fills.set({ at: account.fullAt, account });
  }

  /** The entry of the account that is full first. */
  #nextFull(): { readonly at: number; readonly account: Account } {
    for (;;) {
      const entry = this.#fills.first;
      invariant(entry !== undefined, "each account that fills has an entry");
      const { account, at } = entry;
      if (!account.isForgotten && account.fullAt === at) return entry;
      this.#fills.due(Number.POSITIVE_INFINITY);
      if (!account.isForgotten && account.fullAt !== null) this.#fills.set({ at: account.fullAt, account });
    }
  }

  #account(deviceId: string, now: number): Account {
    this.#forgetIdle(now);
    const known = this.#accounts.get(deviceId);
    const account = known ?? { fullAt: null, askedAt: now, isForgotten: false };
    account.askedAt = now;
    this.#accounts.delete(deviceId);
    this.#accounts.set(deviceId, account);
    if (known !== undefined) return account;
    const first = Math.min(BURST, this.#pool);
    this.#pool -= first;
    this.#held += first;
    if (first < BURST) this.#setBalance(account, first);
    for (let over = this.#over(); over !== undefined; over = this.#over()) this.#forget(...over);
    return account;
  }

  #over(): readonly [string, Account] | undefined {
    const oldest = this.#oldest.beyond(this.#settings.devicesMax);
    const account = oldest === undefined ? undefined : this.#accounts.get(oldest);
    return oldest === undefined || account === undefined ? undefined : [oldest, account];
  }

  #forgetIdle(now: number): void {
    if (now - this.#sweptAt <= IDLE_MS) return; // V8 passes over each entry that was moved to the end since.
    this.#sweptAt = now;
    for (const [deviceId, account] of this.#accounts) {
      if (now - account.askedAt <= IDLE_MS) break;
      this.#forget(deviceId, account);
    }
  }

  #forget(deviceId: string, account: Account): void {
    const balance = this.#balanceOf(account);
    if (account.fullAt !== null) this.#filling -= 1;
    account.isForgotten = true;
    this.#accounts.delete(deviceId);
    this.#held -= balance;
    this.#pool = Math.min(this.#poolMax, this.#pool + balance);
    if (this.#fills.size > 2 * this.#accounts.size + BURST) this.#tidy();
  }

  /** No account fills, so the level may start anew: a sum that only grows would lose precision. */
  #restart(): void {
    this.#level = 0;
    if (this.#fills.size > 0) this.#fills = new Alarms();
  }

  /** Removes the entries of forgotten accounts. */
  #tidy(): void {
    this.#fills = new Alarms();
    for (const account of this.#accounts.values())
      if (account.fullAt !== null) this.#fills.set({ at: account.fullAt, account });
  }
}
