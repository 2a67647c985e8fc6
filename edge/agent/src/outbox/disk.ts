/** Classifies failed writes to the disk, and plans retries. */
import { type Backoff, backoffMs, type Random } from "@tributary/kernel";

/** `full`: retry when there is space. `damaged`: the file is corrupt, and no retry repairs it. */
export type DiskTrouble = "full" | "damaged" | "other";

/** SQLite's primary result codes. */
const SQLITE = { corrupt: 11, full: 13, notADatabase: 26 };

export function troubleOf(error: unknown): DiskTrouble {
  const { errcode, code } = (error ?? {}) as { errcode?: unknown; code?: unknown };
  if (code === "ENOSPC" || code === "EDQUOT") return "full";
  if (typeof errcode !== "number") return "other";
  const primary = errcode & 0xff;
  if (primary === SQLITE.full) return "full";
  return primary === SQLITE.corrupt || primary === SQLITE.notADatabase ? "damaged" : "other";
}

/** One operation that is retried with growing intervals. */
export class Retry {
  readonly #backoff: Backoff;
  readonly #random: Random;
  #attempt = 0;
  #dueMs = Number.NEGATIVE_INFINITY;

  constructor(backoff: Backoff, random: Random) {
    this.#backoff = backoff;
    this.#random = random;
  }

  isDue(nowMs: number): boolean {
    return nowMs >= this.#dueMs;
  }

  failed(nowMs: number): void {
    this.#dueMs = nowMs + backoffMs(this.#backoff, this.#attempt++, this.#random);
  }

  succeeded(): void {
    this.#attempt = 0;
    this.#dueMs = Number.NEGATIVE_INFINITY;
  }
}
