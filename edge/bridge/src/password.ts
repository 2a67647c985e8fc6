/**
 * Device passwords: `scrypt$N$r$p$salt$hash`, salt and hash in base64.
 *
 * P1. A hash's cost is bounded before it is computed: the registry topic must not be able to stop the bridge.
 * P2. A pair that was verified once is known by its HMAC under a key of this process, so a reconnecting fleet costs no
 *     scrypt. The HMAC covers the hash, so a changed password is never taken for the old one.
 * P3. Few checks run at once, one per device, and few wait; the others are told to come back (G9).
 */
import { createHmac, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { availableParallelism } from "node:os";

export type PasswordVerdict = "right" | "wrong" | "busy" | "hash-unusable";

type ParsedHash = {
  readonly cost: number;
  readonly blockSize: number;
  readonly parallelization: number;
  readonly salt: Buffer;
  readonly hash: Buffer;
};

const MEMORY_BYTES_MAX = 64 * 1_024 * 1_024;

export function parsePasswordHash(text: string): ParsedHash | undefined {
  const [scheme, n = "", r = "", p = "", salt64 = "", hash64 = "", ...rest] = text.split("$");
  if (scheme !== "scrypt" || rest.length > 0) return undefined;
  const [cost, blockSize, parallelization] = [n, r, p].map((digits) => (/^\d{1,8}$/.test(digits) ? Number(digits) : 0));
  if (!cost || !blockSize || !parallelization) return undefined;
  if (cost < 2 || (cost & (cost - 1)) !== 0 || parallelization > 16) return undefined;
  if (128 * cost * blockSize > MEMORY_BYTES_MAX) return undefined; // P1
  const [salt, hash] = [Buffer.from(salt64, "base64"), Buffer.from(hash64, "base64")];
  if (salt.length < 8 || hash.length < 16 || hash.length > 128) return undefined;
  return { cost, blockSize, parallelization, salt, hash };
}

export class PasswordChecker {
  readonly #key = randomBytes(32);
  /** deviceId -> HMAC of the pair last verified; bounded by the registry, see `forget`. */
  readonly #verified = new Map<string, Buffer>();
  readonly #checking = new Set<string>();
  readonly #waiting: (() => void)[] = [];
  readonly #waitingMax: number;
  #free = Math.max(1, availableParallelism() - 1);

  constructor(waitingMax: number) {
    this.#waitingMax = waitingMax;
  }

  async check(deviceId: string, password: Buffer, passwordHash: string): Promise<PasswordVerdict> {
    const pair = createHmac("sha256", this.#key)
      .update(`${passwordHash.length}:${passwordHash}`)
      .update(password)
      .digest();
    const known = this.#verified.get(deviceId);
    if (known !== undefined && timingSafeEqual(known, pair)) return "right"; // P2
    const parsed = parsePasswordHash(passwordHash);
    if (parsed === undefined) return "hash-unusable";
    if (this.#checking.has(deviceId) || this.#waiting.length >= this.#waitingMax) return "busy"; // P3
    this.#checking.add(deviceId);
    try {
      await this.#enter();
      const right = await matches(password, parsed).finally(() => this.#leave());
      if (right) this.#verified.set(deviceId, pair);
      return right ? "right" : "wrong";
    } finally {
      this.#checking.delete(deviceId);
    }
  }

  /** Of a device that may not connect any more. */
  forget(deviceId: string): void {
    this.#verified.delete(deviceId);
  }

  async #enter(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}

const matches = (password: Buffer, { cost, blockSize, parallelization, salt, hash }: ParsedHash): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const options = { N: cost, r: blockSize, p: parallelization, maxmem: MEMORY_BYTES_MAX * 2 };
    scrypt(password, salt, hash.length, options, (error, derived) =>
      error === null ? resolve(timingSafeEqual(derived, hash)) : reject(error),
    );
  });
