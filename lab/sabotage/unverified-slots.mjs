/**
 * Breaks G7 (boot.ts): at start the agent runs whatever is in a slot. Its manifest is rewritten to name the files' digests as
 * they are, no digest is asked of it, and its golden frames are not tried.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { replaceExport } from "./replace-export.mjs";

await replaceExport("edge/agent/dist/updates/boot.js", "openSlot", (openSlot) => (durable, ports) => {
  for (const port of ["open", "mismatchOf"]) {
    if (!(port in ports)) throw new Error(`sabotage: openSlot has no port ${port}`);
  }
  const open = async (dir, digest) => {
    if (digest !== null) trust(dir);
    return ports.open(dir, null);
  };
  return openSlot(durable, { ...ports, open, mismatchOf: async () => null });
});

function trust(dir) {
  const path = join(dir, "manifest.json");
  const manifest = JSON.parse(readFileSync(path, "utf8"));
  for (const file of Object.keys(manifest.files)) {
    const bytes = readFileSync(join(dir, file));
    manifest.files[file] = { sha256: createHash("sha256").update(bytes).digest("hex"), bytes: bytes.length };
  }
  writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
}
