/**
 * Difference hashes of pictures that are known by their digest: they are fetched and decoded once, and remembered on disk.
 *
 * P1. What is remembered saves work and decides nothing: without the file, or with lines of it malformed, the same hashes come out.
 * P2. Pictures wait on disk `BATCH` at a time. The file of a model has at most `SURPLUS` times the lines that were asked for last.
 */
import { appendFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "@tributary/kernel";
import { runTask } from "@tributary/model-packaging";
import { sha256 } from "@tributary/model-store";
import { eachOf } from "./each-of.ts";

export type PictureHashesOptions = {
  /** What is remembered, a file a model; instances may share it. */
  readonly dir: string;
  /** Pictures wait here until they are decoded; a folder of one process. */
  readonly workDir: string;
  /** Of decoding one batch. */
  readonly decodeMsMax: number;
};

export type NamedPicture = {
  readonly digest: Digest;
  /** Null: it is gone. */
  readonly read: (signal: AbortSignal) => Promise<Uint8Array | null>;
};

const BATCH = 500;
const SURPLUS = 2;
const UNDECODABLE = "-";
const LINE = /^(?<digest>[0-9a-f]{64}) (?<hash>[0-9a-f]{16}|-)$/;

export class PictureHashes {
  readonly #options: PictureHashesOptions;

  constructor(options: PictureHashesOptions) {
    this.#options = options;
  }

  /** By digest, without those that are gone or cannot be decoded. Rejects where a picture cannot be reached. */
  async of(
    model: string,
    pictures: readonly NamedPicture[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<Digest, string>> {
    const wanted = new Map(pictures.map((picture) => [picture.digest, picture]));
    const hashes = await this.#remembered(model, wanted);
    const missing = [...wanted.values()].filter(({ digest }) => !hashes.has(digest));
    for (let from = 0; from < missing.length; from += BATCH) {
      signal.throwIfAborted();
      const found = await this.#decoded(missing.slice(from, from + BATCH), signal);
      for (const [digest, hash] of found) hashes.set(digest, hash);
      await appendFile(this.#fileOf(model), textOf(found));
    }
    return new Map([...hashes].filter(([, hash]) => hash !== UNDECODABLE));
  }

  #fileOf(model: string): string {
    return join(this.#options.dir, encodeURIComponent(model));
  }

  /** P2. */
  async #remembered(model: string, wanted: ReadonlyMap<Digest, unknown>): Promise<Map<Digest, string>> {
    const file = this.#fileOf(model);
    await mkdir(this.#options.dir, { recursive: true });
    const lines = (await readFile(file, "utf8").catch(() => "")).split("\n");
    const hashes = new Map<Digest, string>();
    for (const line of lines) {
      const { digest = "", hash = "" } = LINE.exec(line)?.groups ?? {};
      if (wanted.has(digest)) hashes.set(digest, hash);
    }
    if (lines.length > SURPLUS * wanted.size) {
      const next = `${file}.${process.pid}.next`;
      await writeFile(next, textOf(hashes));
      await rename(next, file);
    }
    return hashes;
  }

  async #decoded(pictures: readonly NamedPicture[], signal: AbortSignal): Promise<ReadonlyMap<Digest, string>> {
    const { workDir, decodeMsMax } = this.#options;
    await mkdir(workDir, { recursive: true });
    const dir = await mkdtemp(join(workDir, "hashing-"));
    try {
      const there: Digest[] = [];
      const work = async ({ digest, read }: NamedPicture) => {
        const picture = await read(signal);
        if (picture === null || sha256(picture) !== digest) return;
        await writeFile(join(dir, digest), picture);
        there.push(digest);
      };
      await eachOf(pictures, work, signal);
      const { hashes } = await runTask({ kind: "hash-pictures", dir }, { msMax: decodeMsMax, signal });
      return new Map(there.map((digest) => [digest, hashes[digest] ?? UNDECODABLE]));
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }
}

const textOf = (hashes: ReadonlyMap<Digest, string>): string =>
  [...hashes].map(([digest, hash]) => `${digest} ${hash}\n`).join("");
