/**
 * Where a device keeps its models: `<dataDir>/models/`.
 *
 *     slots.json            the book: which package is good, which was before it, which is on trial
 *     packages/DIGEST/      whole and checked; never written to again
 *     incoming/DIGEST/      on its way, and taken up again after a restart
 *     tuf/                  signed metadata, kept by @tributary/tuf
 *
 * S1. (G7) The book is old or new, never half of both: written beside, synced, renamed, the folder synced. It carries its
 *     own SHA-256; one that does not match is set aside, and the device begins with the factory's package. Packages do not
 *     go with it: each says by its digest what it is, so what is wanted next need not be fetched again.
 * S2. A package gets its place by one rename, after all its bytes are synced: what is in `packages/` was whole.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type Digest, Failure, isDigest, reasonOf } from "@tributary/kernel";
import { type Book, bookFromJson, bookToJson, emptyBook } from "@tributary/updates";

const BOOK = "slots.json";
const BOOK_BYTES_MAX = 64 << 10;

export type ReadBook = { readonly book: Book; readonly damaged: string | null };

export class Shelf {
  readonly dir: string;

  constructor(dataDir: string) {
    this.dir = join(resolve(dataDir), "models");
  }

  packageDir(digest: Digest): string {
    return join(this.dir, "packages", digest);
  }

  incomingDir(digest: Digest): string {
    return join(this.dir, "incoming", digest);
  }

  /** What is there, or an empty book and why (S1). Changes nothing. */
  read(): ReadBook {
    const file = join(this.dir, BOOK);
    if (!existsSync(file)) return { book: emptyBook, damaged: null };
    try {
      const text = readFileSync(file, "utf8");
      if (text.length > BOOK_BYTES_MAX) throw new Error(`${text.length} characters`);
      const { sha256, book: json } = JSON.parse(text) as { sha256?: unknown; book?: unknown };
      const book = bookFromJson(json);
      if (book === undefined || sha256 !== sumOf(JSON.stringify(json))) throw new Error("not as it was written");
      return { book, damaged: null };
    } catch (error) {
      return { book: emptyBook, damaged: reasonOf(error) };
    }
  }

  async setAside(): Promise<string> {
    const aside = join(this.dir, `${BOOK}.damaged`);
    await rename(join(this.dir, BOOK), aside);
    return aside;
  }

  /** S1. Throws Failure `slots-unwritable`. */
  async write(book: Book): Promise<void> {
    const json = bookToJson(book);
    const text = `${JSON.stringify({ sha256: sumOf(JSON.stringify(json)), book: json })}\n`;
    const path = join(this.dir, BOOK);
    try {
      await mkdir(this.dir, { recursive: true });
      await writeSynced(`${path}.new`, text);
      await rename(`${path}.new`, path);
      await syncFolder(this.dir);
    } catch (error) {
      throw new Failure("slots-unwritable", "retry", `${path}: ${reasonOf(error)}`, { cause: error });
    }
  }

  /** Packages and downloads but these go. What cannot be deleted stays, and is tried again with the next. */
  async prune(keep: readonly Digest[]): Promise<void> {
    for (const shelf of ["packages", "incoming"]) {
      const names = await readdir(join(this.dir, shelf)).catch(() => []);
      for (const name of names) {
        if (keep.includes(name)) continue;
        await rm(join(this.dir, shelf, name), { recursive: true, force: true }).catch(() => undefined);
      }
    }
  }

  /** S2: from `incoming/` into its place, whatever was there before. */
  async place(digest: Digest): Promise<void> {
    const [from, to] = [this.incomingDir(digest), this.packageDir(digest)];
    await mkdir(dirname(to), { recursive: true });
    await rm(to, { recursive: true, force: true });
    await rename(from, to);
    await syncFolder(dirname(to));
    await syncFolder(dirname(from));
  }

  /** Digests in `packages/`. */
  async packages(): Promise<readonly Digest[]> {
    return (await readdir(join(this.dir, "packages")).catch(() => [])).filter(isDigest);
  }
}

export async function writeSynced(path: string, content: string | Uint8Array): Promise<void> {
  const file = await open(path, "w", 0o644);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

export async function syncFolder(dir: string): Promise<void> {
  const handle = await open(dir, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const sumOf = (text: string): string => createHash("sha256").update(text).digest("hex");
