import { Failure } from "@tributary/kernel";

/** The text of a file or an answer that should be short. Throws Failure `code` once there are more than `bytesMax` bytes, and reads no further. */
export async function textUpTo(chunks: AsyncIterable<Uint8Array>, bytesMax: number, code: string): Promise<string> {
  const read: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.byteLength;
    if (bytes > bytesMax) throw new Failure(code, "give-up", `more than ${bytesMax} bytes`);
    read.push(chunk);
  }
  return Buffer.concat(read).toString("utf8");
}
