/**
 * Reserved space on the outbox's disk. On a full disk even a deletion fails: it is first written to the WAL, and the WAL can
 * neither grow nor be checkpointed into a database that cannot grow. Once freed, the reserve lets pending records be sent and
 * deleted; then their pages are free for new items (engine.ts O6).
 */
import { closeSync, existsSync, openSync, rmSync, statfsSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/** Twice the size of the WAL at which SQLite checkpoints it. */
const BYTES = 8 << 20;
const CHUNK_BYTES = 1 << 20;
/** It is made only if enough free space remains. */
const FREE_BYTES_MIN = BYTES + (4 << 20);

export class Reserve {
  readonly #file: string;
  #isHeld: boolean;

  constructor(outboxFile: string) {
    this.#file = `${outboxFile}.reserve`;
    this.#isHeld = existsSync(this.#file) && statSync(this.#file).size === BYTES;
  }

  /** Whether it is held now. */
  hold(): boolean {
    if (this.#isHeld) return true;
    try {
      const { bavail, bsize } = statfsSync(dirname(this.#file));
      if (bavail * bsize < FREE_BYTES_MIN) return false;
      const file = openSync(this.#file, "w");
      try {
        for (let at = 0; at < BYTES; at += CHUNK_BYTES) writeSync(file, Buffer.alloc(CHUNK_BYTES, 0xa5));
      } finally {
        closeSync(file);
      }
      this.#isHeld = statSync(this.#file).size === BYTES;
    } catch {
      this.release();
    }
    return this.#isHeld;
  }

  /** Whether that made room. */
  release(): boolean {
    const wasHeld = this.#isHeld;
    this.#isHeld = false;
    try {
      rmSync(this.#file, { force: true });
      return wasHeld;
    } catch {
      return false;
    }
  }
}
