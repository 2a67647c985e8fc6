/** Fetches metadata for a device. The server is not trusted: neither for bytes, nor length, nor time.
 *
 * F1. No redirect is followed: the configured server must not send a device elsewhere.
 * F2. The bytes read are bounded by the caller, and nothing is decompressed. */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { Failure, reasonOf } from "@tributary/kernel";
import { tufFailure } from "./failures.ts";

export interface MetadataFetcher {
  /** The file's bytes as they come; undefined when the server has no such file. Throws Failure `tuf-unavailable`. */
  fetch(url: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array> | undefined>;
}

/** Over HTTP or HTTPS. `headers` go with every request, e.g. an authorization. */
export function httpFetcher(headers: Readonly<Record<string, string>> = {}): MetadataFetcher {
  return {
    async fetch(url, signal) {
      const response = await respond(url, headers, signal);
      const status = response.statusCode ?? 0;
      if (status === 200) return response;
      response.destroy();
      if (status === 404 || status === 403) return undefined;
      const what = status >= 300 && status < 400 ? "redirects, which are not followed (F1)" : `answers ${status}`;
      throw tufFailure("tuf-unavailable", `${url} ${what}`);
    },
  };
}

async function respond(
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  // TLS is loaded only where it is used.
  const request = url.startsWith("https:") ? (await import("node:https")).request : httpRequest;
  return new Promise((resolve, reject) => {
    const asked: ClientRequest = request(url, { headers, signal }, resolve);
    asked.on("error", (error) => reject(signal.aborted ? signal.reason : unavailable(url, error)));
    asked.end();
  });
}

/** An error while bytes arrive counts as the network's. */
export const unavailable = (what: string, error: unknown): unknown =>
  error instanceof Failure ? error : tufFailure("tuf-unavailable", `${what}: ${reasonOf(error)}`, error);

/** All bytes of `body`, at most `bytesMax` (F2). Ends with the signal's reason when it aborts, even if the body never moves. */
export async function readBody(
  body: AsyncIterable<Uint8Array>,
  file: string,
  bytesMax: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const iterator = body[Symbol.asyncIterator]();
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => {});
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    for (;;) {
      signal.throwIfAborted();
      const { done, value } = await Promise.race([iterator.next(), aborted.promise]);
      if (done) return Buffer.concat(chunks, bytes);
      bytes += value.length;
      if (bytes > bytesMax) throw tufFailure("tuf-too-large", `${file}: more than ${bytesMax} bytes`);
      chunks.push(value);
    }
  } catch (error) {
    // Not awaited: a body that does not move does not end either.
    void iterator.return?.().catch(() => {});
    throw signal.aborted ? signal.reason : unavailable(file, error);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
