/**
 * The packages of a device and its durable update state: `<dataDir>/models/`.
 *
 *     slots.json            the durable state: which package is committed, which was before it, which is on trial
 *     packages/, incoming/  the packages (PackageFolders of @tributary/model-store)
 *     tuf/                  signed metadata, kept by @tributary/tuf
 *
 * S1. The durable state is replaced atomically: written to a temporary file, synced, renamed, the folder synced (G7). It has
 *     its own SHA-256; a file that does not match is renamed, and the device starts with the factory's package. The packages
 *     stay: each is identified by its digest, so the desired one need not be fetched again.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { Failure, reasonOf } from "@tributary/kernel";
import { writeDurably } from "@tributary/kernel/durable-file";
import { PackageFolders } from "@tributary/model-store/fetch";
import { type DurableState, durableStateFromJson, durableStateToJson, emptyDurableState } from "@tributary/updates";

const STATE_FILE = "slots.json";
const STATE_BYTES_MAX = 64 << 10;

export type StoredState = { readonly durable: DurableState; readonly damaged: string | null };

export class PackageStore extends PackageFolders {
  constructor(dataDir: string) {
    super(join(dataDir, "models"));
  }

  /** The durable state on disk, or an empty one and why (S1). Changes nothing. */
  read(): StoredState {
    const file = join(this.dir, STATE_FILE);
    if (!existsSync(file)) return { durable: emptyDurableState, damaged: null };
    try {
      const text = readFileSync(file, "utf8");
      if (text.length > STATE_BYTES_MAX) throw new Error(`${text.length} characters`);
      const { sha256, book: json } = JSON.parse(text) as { sha256?: unknown; book?: unknown };
      const durable = durableStateFromJson(json);
      if (durable === undefined || sha256 !== sumOf(JSON.stringify(json))) throw new Error("not as it was written");
      return { durable, damaged: null };
    } catch (error) {
      return { durable: emptyDurableState, damaged: reasonOf(error) };
    }
  }

  async setAside(): Promise<string> {
    const aside = join(this.dir, `${STATE_FILE}.damaged`);
    await rename(join(this.dir, STATE_FILE), aside);
    return aside;
  }

  /** S1. Throws Failure `slots-unwritable`. */
  async write(durable: DurableState): Promise<void> {
    const json = durableStateToJson(durable);
    const text = `${JSON.stringify({ sha256: sumOf(JSON.stringify(json)), book: json })}\n`;
    const path = join(this.dir, STATE_FILE);
    try {
      await writeDurably(path, Buffer.from(text));
    } catch (error) {
      throw new Failure("slots-unwritable", "retry", `${path}: ${reasonOf(error)}`, { cause: error });
    }
  }
}

const sumOf = (text: string): string => createHash("sha256").update(text).digest("hex");
