/** Folders and ports of a test's own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type TempDir = { readonly path: string; remove(): void };

/** A fresh folder; `remove` it in afterAll. */
export function tempDir(name = "test"): TempDir {
  const path = mkdtempSync(join(tmpdir(), `tributary-${name}-`));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Prefer port 0 if the process can report its port. */
export { freePort } from "../../../tools/kafka.mjs";
