/**
 * Wrong tokens, counted by the address that they come from: what guesses is slowed, and nobody is locked out by it.
 *
 * K1. An address has `burst` wrong tokens, and one more each `refillMs`. With none left, a token is not looked at.
 * K2. A token that was right from this address before is looked at all the same: behind a proxy everybody has one
 *     address, and a stranger's guesses must not keep out who is in.
 * K3. `addressesMax` addresses are remembered, those that were heard last (G9). IPv6 counts by /64, which one party holds.
 */
import type { Clock } from "@tributary/kernel";
import { bearerOf, type Tokens } from "./tokens.ts";

export type GuessVerdict = "right" | "missing" | "wrong" | "too-many";

export type GuessLimits = { readonly burst: number; readonly refillMs: number; readonly addressesMax: number };
export const guessLimits: GuessLimits = { burst: 10, refillMs: 6_000, addressesMax: 10_000 };

type Address = { left: number; atMs: number; readonly right: Set<number> };

export class Guesses {
  readonly #tokens: Tokens;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #limits: GuessLimits;
  readonly #addresses = new Map<string, Address>();

  constructor(tokens: Tokens, clock: Pick<Clock, "monotonicMs">, limits: GuessLimits = guessLimits) {
    this.#tokens = tokens;
    this.#clock = clock;
    this.#limits = limits;
  }

  get addresses(): number {
    return this.#addresses.size;
  }

  judge(peer: string, authorization: string | undefined): GuessVerdict {
    const token = bearerOf(authorization);
    if (token === undefined) return "missing";
    const key = prefixOf(peer);
    const address = this.#address(key);
    const index = this.#tokens.indexOf(token);
    if (address.left < 1 && !address.right.has(index)) return "too-many";
    if (index >= 0) {
      address.right.add(index);
      return "right";
    }
    address.left -= 1;
    return "wrong";
  }

  #address(key: string): Address {
    const { burst, refillMs, addressesMax } = this.#limits;
    const now = this.#clock.monotonicMs();
    const known = this.#addresses.get(key);
    const address = known ?? { left: burst, atMs: now, right: new Set<number>() };
    address.left = Math.min(burst, address.left + (now - address.atMs) / refillMs);
    address.atMs = now;
    this.#addresses.delete(key);
    this.#addresses.set(key, address); // the newest is last
    if (this.#addresses.size > addressesMax) {
      const [oldest] = this.#addresses.keys();
      if (oldest !== undefined) this.#addresses.delete(oldest);
    }
    return address;
  }
}

/** An IPv4 address, or the first four groups of an IPv6 one. */
export function prefixOf(address: string): string {
  const plain = address.split("%")[0] ?? "";
  if (!plain.includes(":")) return plain;
  const [head = "", tail] = plain.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill("0");
  return [...left, ...zeros, ...right].slice(0, 4).join(":");
}
