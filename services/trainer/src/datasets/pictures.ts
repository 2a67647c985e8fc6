/** Pictures of archived frames, by the frame archive. */
import { Failure, reasonOf } from "@tributary/kernel";

const PICTURE_MS_MAX = 30_000;
const PICTURE_BYTES_MAX = 16 << 20;

export type FrameArchive = { readonly url: string; readonly token?: string | undefined };

/** Null: it is gone. Throws a Failure to retry where the archive cannot be reached. */
export async function pictureFrom(
  { url: archiveUrl, token }: FrameArchive,
  frameId: string,
  signal: AbortSignal,
): Promise<Uint8Array | null> {
  const url = new URL(`frames/${encodeURIComponent(frameId)}`, archiveUrl.replace(/\/*$/, "/"));
  try {
    const response = await fetch(url, {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      signal: AbortSignal.any([signal, AbortSignal.timeout(PICTURE_MS_MAX)]),
    });
    if (response.status === 404 || response.status === 410) {
      await response.body?.cancel();
      return null;
    }
    if (response.status === 401 || response.status === 403) {
      await response.body?.cancel();
      const message = `the frame archive at ${url.origin} refuses the trainer's token: set frameArchive.token`;
      throw new Failure("frame-archive-forbidden", "retry", message);
    }
    if (!response.ok) throw new Error(`it answered ${response.status}`);
    if (Number(response.headers.get("content-length") ?? 0) > PICTURE_BYTES_MAX) return null;
    return await response.bytes();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Failure) throw error;
    const message = `the frame archive at ${url.origin} gives no picture of ${frameId}: ${reasonOf(error)}`;
    throw new Failure("frame-archive-unreachable", "retry", message, { cause: error });
  }
}
