/**
 * Each device's fair share of what the fleet's devices use together: cloud budget, priority reserve, price and random sample.
 * Every frame of a device is passed to `frame`; its share is checked before it is spent.
 *
 * The budget is split evenly among the devices seen lately. A device with a token of its own is `within` its share and is
 * served from the whole bucket; without one it is `over` and gets only idle tokens, the upper half of the bucket: alone it may
 * use everything, and a flood takes from no other device. The price is learned from at most `framesPerSecondMax` frames of a
 * device, shared evenly too (max-min); over its share a device also pays a price learned from itself. An account is forgotten
 * once it was idle for as long as its share takes to fill, or with more than `devicesMax` devices (G9).
 *
 * D4. Draws are at most `drawShareMax` of a device's frames, those that nobody can verify `unverifiedShareMax`. */

import { lambdaNext } from "../lambda.ts";
import { ALONE, type Standing } from "../router.ts";

export type ShareSettings = {
  readonly framesPerSecondMax: number;
  readonly drawShareMax: number;
  readonly unverifiedShareMax: number;
  readonly devicesMax: number;
};

export const shareDefaults: ShareSettings = {
  framesPerSecondMax: 240,
  drawShareMax: 0.05,
  unverifiedShareMax: 0.02,
  devicesMax: 100_000,
};

/** Of the fleet's budget, which the shares are parts of. */
export type SharedBudget = {
  readonly share: number;
  readonly burstMs: number;
  readonly reserve: number;
  /** Step of the price per frame. */
  readonly eta: number;
};

/** What becomes of a draw: past the budget, from its idle tokens, or not as a draw at all. */
export type DrawRoom = "free" | "idle" | "none";

type Account = {
  at: number;
  /** Frames that it may still count. */
  frames: number;
  tokens: number;
  tokensAt: number;
  priceCredit: number;
  priceCreditAt: number;
  countsForPrice: boolean;
  lambda: number;
  draws: number;
  unverified: number;
};

/** However many devices share: enough for what one frame after another asks at once. */
const TOKENS_MIN = 16;
const FRAMES_BURST_S = 60;
const PRICE_CREDIT_MAX = 32;
/** More than 1, to make up for the credits that idle devices let lapse. */
const CREDITS_PER_SAMPLE = 1.5;
const CREDITS_PER_OTHER = 0.02;
const DRAWS_MAX = 16;
const DRAWS_FIRST = 4;

export class DeviceShares {
  readonly #settings: ShareSettings;
  readonly #budget: SharedBudget;
  /** Idle longest first. */
  readonly #accounts = new Map<string, Account>();
  /** No account was idle for longer when they were last gone through: V8 passes over each that was moved to the end since. */
  #idleSince = Number.NEGATIVE_INFINITY;
  /** What a device that was there from the beginning has earned so far. */
  #earned = 0;
  #priceCredits = 0;
  #tokensMax = TOKENS_MIN;

  constructor(settings: ShareSettings, budget: SharedBudget) {
    this.#settings = settings;
    this.#budget = budget;
  }

  get devices(): number {
    return this.#accounts.size;
  }

  /** Whether the frame counts. */
  frame(deviceId: string, now: number, intervalMs: number): boolean {
    const account = this.#account(deviceId, now);
    const devices = this.#accounts.size;
    const { share, burstMs, reserve } = this.#budget;
    // All of them together are the lower half of what is above the reserve, which `over` leaves alone.
    this.#tokensMax = Math.max(TOKENS_MIN, ((1 - reserve) * share * burstMs) / (2 * intervalMs * devices));
    if (account.frames < 1) {
      account.countsForPrice = false;
      return false;
    }
    account.frames -= 1;
    this.#earned += share / devices;
    account.priceCredit = Math.min(PRICE_CREDIT_MAX, account.priceCredit + this.#priceCredits - account.priceCreditAt);
    account.priceCreditAt = this.#priceCredits;
    account.countsForPrice = devices === 1 || account.priceCredit >= 1;
    if (account.countsForPrice) account.priceCredit = Math.max(0, account.priceCredit - 1);
    this.#priceCredits += (account.countsForPrice ? CREDITS_PER_SAMPLE : CREDITS_PER_OTHER) / devices;
    const { drawShareMax, unverifiedShareMax } = this.#settings;
    account.draws = Math.min(DRAWS_MAX, account.draws + drawShareMax);
    account.unverified = Math.min(DRAWS_MAX, account.unverified + unverifiedShareMax);
    return true;
  }

  standing(deviceId: string): Standing {
    const account = this.#accounts.get(deviceId);
    if (account === undefined || this.#accounts.size === 1) return ALONE;
    const isOver = this.#tokensOf(account) < 1;
    return { isOver, priceMin: isOver ? account.lambda : 0, countsForPrice: account.countsForPrice };
  }

  /** Of the last frame: whether a cloud call was wanted for it at its price, and whether one was made. */
  decided(deviceId: string, wanted: 0 | 1, isSpent: boolean): void {
    const account = this.#accounts.get(deviceId);
    if (account === undefined) return;
    account.lambda = lambdaNext(account.lambda, wanted, this.#budget.share, this.#budget.eta);
    if (isSpent) account.tokens = Math.max(0, this.#tokensOf(account) - 1);
  }

  /** Takes room for a draw. */
  draw(deviceId: string, isVerified: boolean): DrawRoom {
    const account = this.#accounts.get(deviceId);
    if (account === undefined) return "none";
    const room = isVerified ? "draws" : "unverified";
    if (account[room] < 1) return "none";
    account[room] -= 1;
    return account.countsForPrice ? "free" : "idle";
  }

  #tokensOf(account: Account): number {
    account.tokens = Math.min(this.#tokensMax, account.tokens + this.#earned - account.tokensAt);
    account.tokensAt = this.#earned;
    return account.tokens;
  }

  #forgetIdle(now: number): void {
    this.#idleSince = now;
    for (const [idle, { at }] of this.#accounts) {
      this.#idleSince = at;
      if (now - at <= this.#budget.burstMs && this.#accounts.size <= this.#settings.devicesMax) break;
      this.#accounts.delete(idle);
    }
  }

  #account(deviceId: string, now: number): Account {
    if (now - this.#idleSince > this.#budget.burstMs || this.#accounts.size > this.#settings.devicesMax)
      this.#forgetIdle(now);
    const framesMax = this.#settings.framesPerSecondMax * FRAMES_BURST_S;
    const account = this.#accounts.get(deviceId) ?? {
      at: now,
      frames: framesMax,
      lambda: 0,
      countsForPrice: true,
      tokens: Number.POSITIVE_INFINITY,
      tokensAt: this.#earned,
      priceCredit: PRICE_CREDIT_MAX,
      priceCreditAt: this.#priceCredits,
      draws: DRAWS_FIRST,
      unverified: DRAWS_FIRST,
    };
    const elapsedMs = Math.max(0, now - account.at);
    account.frames = Math.min(framesMax, account.frames + (elapsedMs / 1_000) * this.#settings.framesPerSecondMax);
    account.at = now;
    this.#accounts.delete(deviceId);
    this.#accounts.set(deviceId, account);
    return account;
  }
}
