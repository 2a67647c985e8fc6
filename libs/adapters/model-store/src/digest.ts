import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { Digest } from "@tributary/kernel";

export const sha256 = (bytes: Uint8Array): Digest => createHash("sha256").update(bytes).digest("hex");

/** Chunk by chunk: a package's files may be large, a device's memory is not. */
export async function hashFile(path: string): Promise<Digest> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 })) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}
