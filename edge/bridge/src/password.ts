/**
 * Device passwords as the registry keeps them, and their checks.
 *
 * - `hmac-sha256$salt$hash`: of a password that the gateway generated. 192 random bits cannot be guessed, so the hash may be
 *   fast, and ten thousand devices reconnect within seconds (ADR 30).
 * - `scrypt$N$r$p$salt$hash`: of a password that a person may have chosen, and of those generated before.
 *
 * P1. A hash's cost is bounded before it is computed: the registry topic must not be able to stop the bridge.
 * P2. A scrypt pair that was verified once is known by its HMAC under a key of this process, so a reconnecting fleet costs
 *     no scrypt. The HMAC covers the hash, so a changed password is never taken for the old one.
 * P3. A correct password that needs no scrypt never waits. The others wait in a fair queue by address, bounded: an address with
 *     many waiting checks gives way to one with few (G9). The queue ignores device names, so that knowing a name cannot lock a
 *     device out.
 * P4. Refusals cost the same for names that exist and names that do not: the same steps, a scrypt included while any
 *     device needs one.
 */
import { createHmac, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { availableParallelism } from "node:os";
import { BySource } from "./by-source.ts";

export type PasswordVerdict = "right" | "wrong" | "busy" | "hash-unusable";

/** Whether scrypt of `password` gives the hash. Tests count the calls, the cost of a check. */
export type ScryptVerify = (password: Buffer, known: ScryptHash) => Promise<boolean>;

export type ScryptCost = { readonly cost: number; readonly blockSize: number; readonly parallelization: number };

export type PasswordHash =
  | { readonly scheme: "hmac-sha256"; readonly salt: Buffer; readonly hash: Buffer }
  | ScryptHash;

type ScryptHash = { readonly scheme: "scrypt"; readonly salt: Buffer; readonly hash: Buffer } & ScryptCost;

const MEMORY_BYTES_MAX = 64 * 1_024 * 1_024;

export function parsePasswordHash(text: string): PasswordHash | undefined {
  const [scheme, ...fields] = text.split("$");
  const [salt64 = "", hash64 = ""] = fields.slice(-2);
  const [salt, hash] = [Buffer.from(salt64, "base64"), Buffer.from(hash64, "base64")];
  if (salt.length < 8 || hash.length < 16 || hash.length > 128) return undefined;
  if (scheme === "hmac-sha256" && fields.length === 2) return hash.length === 32 ? { scheme, salt, hash } : undefined;
  if (scheme !== "scrypt" || fields.length !== 5) return undefined;
  const numbers = fields.slice(0, 3).map((digits) => (/^\d{1,8}$/.test(digits) ? Number(digits) : 0));
  const [cost = 0, blockSize = 0, parallelization = 0] = numbers;
  if (!cost || !blockSize || !parallelization) return undefined;
  if (cost < 2 || (cost & (cost - 1)) !== 0 || parallelization > 16) return undefined;
  if (128 * cost * blockSize > MEMORY_BYTES_MAX) return undefined;
  return { scheme, cost, blockSize, parallelization, salt, hash };
}

/** The password hashes of a fleet's devices. */
export interface PasswordHashes {
  /** The text as the registry has it, and as it was parsed; undefined for a device that may not connect or does not exist. */
  hashOf(deviceId: string): { readonly text: string; readonly parsed: PasswordHash | undefined } | undefined;
  /** Of the dearest scrypt hash that is in use; undefined when there is none. */
  readonly scryptCost: ScryptCost | undefined;
}

export type PasswordCheck = {
  readonly deviceId: string;
  readonly password: Buffer;
  /** The client's address, see `sourceOf`. */
  readonly source: string;
  /** Whether the client has gone. */
  readonly isGone: () => boolean;
};

type Waiting = { readonly source: string; readonly isGone: () => boolean; readonly go: (turn: Turn) => void };
type Turn = "granted" | "given-up";

export class PasswordChecker {
  readonly #hashes: PasswordHashes;
  readonly #key = randomBytes(32);
  /** deviceId -> HMAC of the pair last verified; bounded by the registry, see `forget`. */
  readonly #verified = new Map<string, Buffer>();
  readonly #waiting = new BySource<Waiting>();
  readonly #waitingMax: number;
  readonly #verify: ScryptVerify;
  readonly #nobody = {
    text: `scrypt$16384$8$1$${randomBytes(16).toString("base64")}$${randomBytes(32).toString("base64")}`,
    salt: randomBytes(16),
    hash: randomBytes(32),
  };
  #free = Math.max(1, availableParallelism() - 1);

  constructor(hashes: PasswordHashes, waitingMax: number, verify: ScryptVerify = verifyScrypt) {
    this.#hashes = hashes;
    this.#waitingMax = waitingMax;
    this.#verify = verify;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  async check({ deviceId, password, source, isGone }: PasswordCheck): Promise<PasswordVerdict> {
    const known = this.#hashes.hashOf(deviceId);
    const { salt, hash } = known?.parsed ?? this.#nobody;
    const pair = createHmac("sha256", this.#key)
      .update(`${deviceId}:${known?.text ?? this.#nobody.text}:`)
      .update(password)
      .digest();
    const isVerified = timingSafeEqual(this.#verified.get(deviceId) ?? this.#nobody.hash, pair);
    const quick = createHmac("sha256", salt).update(password).digest();
    const isQuick = timingSafeEqual(quick, hash.length === quick.length ? hash : this.#nobody.hash);
    if (isVerified || (isQuick && known?.parsed?.scheme === "hmac-sha256")) return "right";
    const slow = known?.parsed?.scheme === "scrypt" ? known.parsed : this.#decoy();
    let isRight = false;
    if (slow !== undefined) {
      if ((await this.#turn(source, isGone)) === "given-up") return "busy";
      isRight = await this.#verify(password, slow).finally(() => this.#leave());
    }
    if (known === undefined) return "wrong";
    if (known.parsed === undefined) return "hash-unusable";
    if (!isRight || known.parsed.scheme !== "scrypt") return "wrong";
    // The registry may have changed meanwhile; then this pair is no longer valid.
    if (this.#hashes.hashOf(deviceId)?.text === known.text) this.#verified.set(deviceId, pair);
    return "right";
  }

  /** Of a device that may not connect any more, or whose password changed. */
  forget(deviceId: string): void {
    this.#verified.delete(deviceId);
  }

  /** The hash to compute for an unknown device; undefined while no device needs a scrypt. */
  #decoy(): ScryptHash | undefined {
    const cost = this.#hashes.scryptCost;
    return cost && { scheme: "scrypt", ...cost, salt: this.#nobody.salt, hash: this.#nobody.hash };
  }

  /** Waits for a processor. */
  #turn(source: string, isGone: () => boolean): Promise<Turn> | Turn {
    if (this.#free > 0) {
      this.#free--;
      return "granted";
    }
    if (this.#waiting.size >= this.#waitingMax) {
      const heaviest = this.#waiting.heaviest() ?? source;
      if (this.#waiting.countOf(heaviest) <= this.#waiting.countOf(source) + 1) return "given-up";
      const [oldest] = this.#waiting.itemsOf(heaviest);
      if (oldest !== undefined) this.#giveUp(oldest);
    }
    return new Promise((go) => this.#waiting.add(source, { source, isGone, go }));
  }

  #giveUp(one: Waiting): void {
    this.#waiting.remove(one.source, one);
    one.go("given-up");
  }

  #leave(): void {
    let next = this.#waiting.next();
    while (next?.isGone()) {
      next.go("given-up");
      next = this.#waiting.next();
    }
    if (next === undefined) this.#free++;
    else next.go("granted");
  }
}

export const verifyScrypt: ScryptVerify = (password, { cost, blockSize, parallelization, salt, hash }) =>
  new Promise((resolve, reject) => {
    const options = { N: cost, r: blockSize, p: parallelization, maxmem: MEMORY_BYTES_MAX * 2 };
    scrypt(password, salt, hash.length, options, (error, derived) =>
      error === null ? resolve(timingSafeEqual(derived, hash)) : reject(error),
    );
  });
