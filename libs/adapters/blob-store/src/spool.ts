/** Writes a stream to a file, hashing and counting as it goes (port.ts B1, B3); the file is on the disk when it returns. */
import { createHash } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { Failure, reasonOf } from "@tributary/kernel";
import { blobTooLarge, type PutOptions, type StoredBlob, UNAVAILABLE } from "./port.ts";

export async function spool(
  path: string,
  bytes: AsyncIterable<Uint8Array>,
  { expected, bytesMax }: PutOptions,
): Promise<StoredBlob> {
  const hash = createHash("sha256");
  let count = 0;
  try {
    const file = await open(path, "wx", 0o444).catch(unavailable);
    try {
      for await (const chunk of bytes) {
        count += chunk.length;
        if (count > bytesMax) throw blobTooLarge(bytesMax);
        hash.update(chunk);
        await file.writeFile(chunk).catch(unavailable);
      }
      await file.sync().catch(unavailable);
    } finally {
      await file.close();
    }
    const digest = hash.digest("hex");
    if (expected !== undefined && expected !== digest) {
      const message = `${count} bytes came whose SHA-256 is ${digest}, not ${expected}: send them again`;
      throw new Failure("blob-digest-mismatch", "give-up", message);
    }
    return { digest, bytes: count };
  } catch (error) {
    await rm(path, { force: true }).catch(() => {}); // a disk that fails refuses this, too; what failed first is the cause
    throw error;
  }
}

export const unavailable = (error: unknown): never => {
  if (error instanceof Failure) throw error;
  throw new Failure(UNAVAILABLE, "retry", `blobs cannot be stored or read: ${reasonOf(error)}`, { cause: error });
};
