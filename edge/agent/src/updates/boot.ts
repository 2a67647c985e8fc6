/**
 * Which model a device starts with (G7): the committed one, else the one before it, else the package of the configuration. Each
 * is checked by its digests and loaded, without a network; the one on trial when the agent ended is none of them.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageFiles } from "@tributary/inference";
import { type Digest, Failure, reasonOf } from "@tributary/kernel";
import type { Book } from "@tributary/updates";
import type { Slot } from "../slots.ts";
import type { Shelf } from "./shelf.ts";

export type BootPorts = {
  readonly shelf: Shelf;
  /** Opens what lies in a folder, if its digest is this one; null: whatever it is. Throws Failure. */
  readonly open: (dir: string, digest: Digest | null) => Promise<Slot>;
  readonly factoryDir: string;
  readonly onUnusable: (unusable: {
    readonly modelDigest: string;
    readonly code: string;
    readonly reason: string;
  }) => void;
  /** Breaks G7 on purpose. */
  readonly believeSlots: boolean;
};

/** Throws when the factory's package is all there is and cannot be used: that is the operator's to mend. */
export async function openSlot(book: Book, ports: BootPorts): Promise<Slot> {
  const { shelf, open, onUnusable, believeSlots } = ports;
  for (const ref of [book.good, book.previous]) {
    if (ref === null) continue;
    const dir = shelf.packageDir(ref.digest);
    try {
      if (believeSlots) believe(dir);
      const slot = await open(dir, believeSlots ? null : ref.digest);
      slot.goldenPassed = true; // Nothing is committed without.
      return slot;
    } catch (error) {
      const code = error instanceof Failure ? error.code : "model-unusable";
      onUnusable({ modelDigest: ref.digest, code, reason: reasonOf(error) });
    }
  }
  return open(ports.factoryDir, null);
}

/** The manifest made to say what the files are. */
function believe(dir: string): void {
  const path = join(dir, packageFiles.manifest);
  const manifest = JSON.parse(readFileSync(path, "utf8")) as { files: Record<string, unknown> };
  for (const file of Object.keys(manifest.files)) {
    const bytes = readFileSync(join(dir, file));
    manifest.files[file] = { sha256: createHash("sha256").update(bytes).digest("hex"), bytes: bytes.length };
  }
  if (readdirSync(dir).length > 0) writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
}
