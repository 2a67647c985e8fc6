/** Bearer tokens, compared by digest and in constant time. */
import { createHash, timingSafeEqual } from "node:crypto";

const digestOf = (text: string): Buffer => createHash("sha256").update(text).digest();

export const bearerOf = (authorization: string | undefined): string | undefined =>
  /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];

export class Tokens {
  readonly #digests: readonly Buffer[];

  constructor(tokens: readonly string[]) {
    this.#digests = tokens.map(digestOf);
  }

  get isEmpty(): boolean {
    return this.#digests.length === 0;
  }

  /** Which of them it is; -1: none. */
  indexOf(token: string): number {
    const given = digestOf(token);
    return this.#digests.map((digest) => timingSafeEqual(digest, given)).indexOf(true);
  }
}
