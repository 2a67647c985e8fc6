/** `tributary models push`: uploads what the registry lacks of a package, and has it listed. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { packageFiles } from "@tributary/inference";
import { Failure } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { Command, InvalidArgumentError } from "commander";
import { type Io, outputOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { type GatewayClient, GatewayRefusal } from "../gateway-client.ts";
import { Progress } from "../progress.ts";
import { type ModelVersion, referenceOf, registryApi, registryOf, withBy, withModelRegistry } from "./model-api.ts";

/** Looks and uploads at once. */
const AT_ONCE = 4;
const ATTEMPTS = 4;
const RETRY_MS = 1_000;
const UPLOAD_MS_MAX = 3_600_000;

type Part = { readonly path: string; readonly digest: string; readonly bytes: number };
type Examination = {
  readonly opset: number;
  readonly golden: { readonly frames: number; readonly equal: number };
  readonly latency: { readonly p95Ms: number; readonly budgetMs: number };
};
type Pushed = ModelVersion & { readonly examination: Examination | null };

export const modelsPushCommand = (io: Io): Command =>
  withBy(withModelRegistry(new Command("push")), io)
    .description("upload a package to the registry, which examines, signs and lists it")
    .argument("<dir>", "folder of the package, as models pack makes it")
    .option("--alias <ALIAS>", "also give it an alias, e.g. challenger: then it is judged and rolled out", aliasName)
    .addHelpText("after", "\nPushing the same package again changes nothing; what is there already is not sent again.")
    .action(async (dir: string, options: { alias?: string; by: string }, command: Command) => {
      const output = outputOf(command, io);
      const registry = registryOf(command, io);
      const { manifest, digest } = await loadPackage(dir);
      const { size } = await stat(join(dir, packageFiles.manifest));
      const parts: Part[] = [
        ...Object.entries(manifest.files).map(([path, file]) => ({ path, digest: file.sha256, bytes: file.bytes })),
        { path: packageFiles.manifest, digest, bytes: size },
      ];
      const sent = await uploadMissing(registry, dir, parts, io);
      const body = { manifestDigest: digest, by: options.by };
      const pushed = await registry.call<Pushed>("models", { method: "POST", body });
      if (options.alias !== undefined) {
        await registryApi(registry).alias(pushed.name, options.alias, pushed.version, options.by);
      }
      const aliases = [...new Set([...pushed.aliases, ...(options.alias === undefined ? [] : [options.alias])])].sort();
      output.one({ ...pushed, aliases, sent }, referenceOf(pushed), () => {
        const { examination } = pushed;
        const known = examination === null ? ", as it was before" : "";
        output.line(`${referenceOf(pushed)} is listed${known}: ${pushed.modelDigest}`);
        output.line(`Sent ${sent.files} of ${parts.length} files, ${megabytes(sent.bytes)} MB.`);
        if (examination !== null) {
          const { golden, latency, opset } = examination;
          output.line(
            `Examined: opset ${opset}; ${golden.frames} golden frames reproduced, ${golden.equal} of them to the bit; ${latency.p95Ms.toFixed(1)} ms a frame (p95), its budget is ${latency.budgetMs} ms.`,
          );
        }
        if (aliases.length > 0) output.line(`Aliases: ${aliases.join(", ")}.`);
      });
    });

/** As the registry wants one, which sees it only once everything is uploaded and listed. */
function aliasName(text: string): string {
  if (/^[a-z][a-z0-9-]{0,31}$/.test(text)) return text;
  throw new InvalidArgumentError("small letters, digits and dashes are needed, a letter first, at most 32.");
}

async function uploadMissing(registry: GatewayClient, dir: string, parts: readonly Part[], io: Io) {
  const unique = [...new Map(parts.map((part) => [part.digest, part])).values()];
  const all = unique.reduce((sum, { bytes }) => sum + bytes, 0);
  let [looked, files, bytes] = [0, 0, 0];
  const text = () =>
    bytes === 0
      ? `looking what the registry has: ${looked} of ${unique.length} files`
      : `uploading: ${files} files, ${megabytes(bytes)} of at most ${megabytes(all)} MB`;
  const progress = new Progress(io, text);
  try {
    await eachOf(unique, AT_ONCE, async (part) => {
      const path = `blobs/sha256/${part.digest}`;
      const isThere = await registry.has(path);
      looked += 1;
      if (isThere) return;
      await retried(io, async () => {
        const before = bytes;
        const counted = async function* () {
          for await (const chunk of createReadStream(join(dir, part.path))) {
            bytes += (chunk as Uint8Array).length;
            yield chunk as Uint8Array;
          }
        };
        const signal = AbortSignal.any([io.signal, AbortSignal.timeout(UPLOAD_MS_MAX)]);
        try {
          await registry.upload(path, counted(), part.bytes, signal);
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

/** What a busy or restarting registry refuses is tried again, a few times. */
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
        throw new Failure("interrupted", "ask-a-person", "the upload was interrupted; push again to go on");
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

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
