/** Uploads the files of a package or of a set of labelled photos that a service lacks: blobs under their SHA-256. */
import { createReadStream } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Failure } from "@tributary/kernel";
import type { Io } from "./context.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { GatewayRefusal, type ModelRegistry } from "./gateway.ts";
import { Progress } from "./progress.ts";

/** Looks and uploads at once. */
const AT_ONCE = 4;
const ATTEMPTS = 4;
const RETRY_MS = 1_000;
const UPLOAD_MS_MAX = 3_600_000;

/** `from`: a file, or the bytes themselves. */
export type Part = { readonly from: string | Uint8Array; readonly digest: string; readonly bytes: number };
export type Sent = { readonly files: number; readonly bytes: number };

/** What takes blobs: the model registry, or the trainer. */
type Receiver = { readonly blobs: Pick<ModelRegistry["blobs"], "has" | "put"> };

export async function uploadMissing(receiver: Receiver, parts: readonly Part[], io: Io): Promise<Sent> {
  const unique = [...new Map(parts.map((part) => [part.digest, part])).values()];
  const all = unique.reduce((sum, { bytes }) => sum + bytes, 0);
  let [looked, files, bytes] = [0, 0, 0];
  const text = () =>
    bytes === 0
      ? `checking which files are there: ${looked} of ${unique.length} files`
      : `uploading: ${files} files, ${megabytes(bytes)} of at most ${megabytes(all)} MB`;
  const progress = new Progress(io, text);
  try {
    await eachOf(unique, AT_ONCE, async (part) => {
      const { digest, bytes: length } = part;
      const isThere = await receiver.blobs.has({ digest });
      looked += 1;
      if (isThere) return;
      await retried(io, async () => {
        const before = bytes;
        const counted = async function* () {
          for await (const chunk of typeof part.from === "string" ? createReadStream(part.from) : [part.from]) {
            bytes += (chunk as Uint8Array).length;
            yield chunk as Uint8Array;
          }
        };
        const signal = AbortSignal.any([io.signal, AbortSignal.timeout(UPLOAD_MS_MAX)]);
        try {
          await receiver.blobs.put({ digest, body: counted(), length }, { signal });
        } catch (error) {
          bytes = before;
          throw error;
        }
      });
      files += 1;
    });
  } finally {
    progress.end();
  }
  return { files, bytes };
}

/** Retries what a busy or restarting registry rejects, a few times. */
async function retried(io: Io, work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const mayPass =
        error instanceof GatewayRefusal
          ? error.retry
          : error instanceof CliError && error.exitCode === exitCodes.unreachable;
      if (!mayPass || attempt === ATTEMPTS || io.signal.aborted) throw error;
      await sleep(RETRY_MS * attempt, undefined, { signal: io.signal }).catch(() => {
        throw new Failure("interrupted", "ask-a-person", "the upload was interrupted; push again to continue");
      });
    }
  }
}

async function eachOf<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

export const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
