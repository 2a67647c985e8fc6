/**
 * Downloads one file from the registry, by its SHA-256, and resumes a partial one.
 *
 * W1. At most the listed bytes are read, no slower than MIN_BYTES_PER_SECOND over a file, and no redirect is followed (G9).
 * W2. A file counts once its SHA-256 is the listed one (G6). A resumed file that does not match is fetched once more from its
 *     beginning, since the bytes on the disk may be corrupted. A complete download that does not match is dropped; it is
 *     retried, since the network may have corrupted it. An error of the disk is never reported as the registry's.
 * W3. The average rate is limited, for others that share the network. Our own pauses do not count as a silent registry.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rm, stat } from "node:fs/promises";
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { dirname } from "node:path";
import { type Clock, type Digest, Failure, linkedSignal, reasonOf } from "@tributary/kernel";

const IDLE_MS_MAX = 30_000;
const MIN_BYTES_PER_SECOND = 1_024;
const FILE_MS_MAX = 60_000;

export type Blob = { readonly sha256: Digest; readonly bytes: number };

/** Limits the average rate. Pure: time is an argument. */
export class Pace {
  readonly #bytesPerSecond: number;
  #aheadUntilMs = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** How long to wait before more is taken. */
  took(bytes: number, nowMs: number): number {
    this.#aheadUntilMs = Math.max(this.#aheadUntilMs, nowMs) + (bytes / this.#bytesPerSecond) * 1_000;
    return this.#aheadUntilMs - nowMs;
  }
}

export type DownloadPorts = {
  /** Up to `/blobs`. */
  readonly modelRegistry: string;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly clock: Clock;
  readonly pace: Pace;
  /** Received bytes; negative when they are dropped again. */
  readonly onBytes: (bytes: number) => void;
};

const DISK_ERRORS: readonly unknown[] = ["ENOSPC", "EDQUOT", "EROFS", "EIO"];

/** An error of the disk, as a Failure; anything else as it is. */
export const diskFullOr = (error: unknown): unknown =>
  DISK_ERRORS.includes((error as NodeJS.ErrnoException | undefined)?.code)
    ? new Failure("disk-full", "retry", reasonOf(error), { cause: error })
    : error;

/** Throws Failure `registry-unreachable`, `registry-slow`, `registry-refused`, `blob-missing`, `package-digest-mismatch` or
 * `disk-full`, or an error of the disk outside of the file. */
export async function download(ports: DownloadPorts, blob: Blob, path: string, signal: AbortSignal): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  for (let again = false; ; again = true) {
    const had = await sizeOf(path);
    if (had > blob.bytes) await drop(ports, path, had);
    else if (had < blob.bytes || blob.bytes === 0) await fetchRest(ports, blob, path, had, signal);
    const digest = await hashOf(path);
    if (digest === blob.sha256) return;
    await drop(ports, path, await sizeOf(path));
    if (again || had === 0) {
      const what = `${blob.sha256}: what the registry sent has SHA-256 ${digest}`;
      throw new Failure("package-digest-mismatch", "ask-a-person", what);
    }
  }
}

async function drop({ onBytes }: DownloadPorts, path: string, bytes: number): Promise<void> {
  await rm(path, { force: true });
  onBytes(-bytes);
}

async function fetchRest(
  ports: DownloadPorts,
  blob: Blob,
  path: string,
  from: number,
  signal: AbortSignal,
): Promise<void> {
  const { clock, pace, onBytes } = ports;
  const url = urlOf(ports, blob.sha256);
  const timed = linkedSignal(signal);
  const slow = (what: string) => timed.abort(new Failure("registry-slow", "retry", `${url}: ${what}`));
  const allMs = FILE_MS_MAX + (blob.bytes / MIN_BYTES_PER_SECOND) * 1_000;
  const whole = setTimeout(() => slow(`not whole within ${Math.round(allMs / 1_000)} s`), allMs);
  const startIdle = () => setTimeout(() => slow(`nothing for ${IDLE_MS_MAX / 1_000} s`), IDLE_MS_MAX);
  let idle = startIdle();
  try {
    const response = await ask("GET", url, rangeFrom(ports, from), timed.signal);
    const at = startOf(response, url, from);
    const file = await open(path, at === 0 ? "w" : "r+");
    try {
      if (at === 0 && from > 0) onBytes(-from);
      let written = at;
      for await (const chunk of response as AsyncIterable<Buffer>) {
        clearTimeout(idle);
        const bytes = chunk.subarray(0, blob.bytes - written);
        const { bytesWritten } = await file.write(bytes, 0, bytes.length, written);
        if (bytesWritten < bytes.length) {
          const what = `${path}: only ${written + bytesWritten} of ${blob.bytes} bytes could be written`;
          throw new Failure("disk-full", "retry", what);
        }
        written += bytes.length;
        onBytes(bytes.length);
        if (written >= blob.bytes) break;
        const waitMs = pace.took(bytes.length, clock.monotonicMs());
        if (waitMs > 5) await clock.sleep(waitMs, timed.signal);
        idle = startIdle();
      }
      await file.sync();
      if (written < blob.bytes) {
        throw new Failure("registry-unreachable", "retry", `${url} ended after ${written} of ${blob.bytes} bytes`);
      }
    } finally {
      await file.close();
      response.destroy();
    }
  } catch (error) {
    if (timed.signal.aborted) throw timed.signal.reason;
    const failure = diskFullOr(error);
    if (failure instanceof Failure) throw failure;
    throw new Failure("registry-unreachable", "retry", `${url}: ${reasonOf(error)}`, { cause: error });
  } finally {
    clearTimeout(whole);
    clearTimeout(idle);
    timed.unlink();
  }
}

/** How many bytes the registry has of a blob, which it may claim wrongly: at most `bytesMax`. Throws as `download` does. */
export async function bytesAt(
  ports: DownloadPorts,
  digest: Digest,
  bytesMax: number,
  signal: AbortSignal,
): Promise<number> {
  const url = urlOf(ports, digest);
  const timed = AbortSignal.any([signal, AbortSignal.timeout(IDLE_MS_MAX)]);
  try {
    const response = await ask("HEAD", url, { ...ports.headers }, timed);
    startOf(response, url, 0);
    response.destroy();
    const bytes = Number(response.headers["content-length"] ?? Number.NaN);
    if (Number.isSafeInteger(bytes) && bytes <= bytesMax) return bytes;
    throw new Failure("package-file-too-large", "give-up", `${url}: ${bytes} bytes, at most ${bytesMax} are read`);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Failure) throw error;
    throw new Failure("registry-unreachable", "retry", `${url}: ${reasonOf(error)}`, { cause: error });
  }
}

/** Offset of the body. */
function startOf(response: IncomingMessage, url: string, from: number): number {
  const status = response.statusCode ?? 0;
  if (status === 200) return 0;
  if (status === 206) {
    const start = /^bytes (\d+)-/.exec(response.headers["content-range"] ?? "")?.[1];
    if (Number(start) === from) return from;
  }
  response.destroy();
  if (status === 404) throw new Failure("blob-missing", "ask-a-person", `${url}: the registry does not have it`);
  const isPassing = status >= 500 || status === 429 || status === 408 || status === 206;
  if (isPassing) throw new Failure("registry-unreachable", "retry", `${url} answers ${status}`);
  const why =
    status === 401 ? ": no package that is listed has this file, so it wants one of the registry's auth.tokens" : "";
  throw new Failure("registry-refused", "ask-a-person", `${url} answers ${status}${why}`);
}

const urlOf = ({ modelRegistry }: DownloadPorts, digest: Digest): string =>
  `${modelRegistry.replace(/\/$/, "")}/blobs/sha256/${digest}`;

const rangeFrom = ({ headers }: DownloadPorts, from: number) => ({
  ...headers,
  ...(from > 0 && { range: `bytes=${from}-` }),
});

async function ask(
  method: "GET" | "HEAD",
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  // TLS is loaded only where it is used.
  const request = url.startsWith("https:") ? (await import("node:https")).request : httpRequest;
  return new Promise((resolve, reject) => {
    const asked: ClientRequest = request(url, { method, headers, signal, agent: false }, resolve);
    asked.on("error", reject);
    asked.end();
  });
}

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );

async function hashOf(path: string): Promise<Digest> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 })) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}
