/**
 * `frames export`: kept frames as a folder that `validation push` and other tools take. `frames/DIGEST.jpg`, `labels.json` (file to
 * class, of the frames that have a label) and `frames.jsonl` (everything that is known of each frame, its propensity included).
 *
 * A picture is written whole or not at all, and one that is there is not fetched again: an export that broke off is continued
 * by the same command.
 */
import { createHash } from "node:crypto";
import { mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ArchivedFrameQuery, type ArchivedFrameView, archiveReasons } from "@tributary/api";
import { reasonOf } from "@tributary/kernel";
import { Command, Option } from "commander";
import { positive } from "../commands/options.ts";
import { type Io, outputOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { type FrameArchive, frameArchiveAt, GatewayRefusal } from "../gateway.ts";
import { Progress, waitingFor } from "../progress.ts";

const PAGE_MAX = 1_000;
const FETCHES_MAX = 8;

type Options = Pick<ArchivedFrameQuery, "site" | "device" | "why" | "since" | "until"> & {
  readonly labelled?: true;
  readonly limit?: number;
  readonly archive?: string;
  readonly archiveToken?: string;
  readonly token?: string;
};

export const framesExportCommand = (io: Io): Command =>
  new Command("export")
    .description("kept frames as a folder: pictures, labels, and what is known of each; those received last first")
    .argument("<folder>", "where to write frames/, labels.json and frames.jsonl")
    .option("--site <SITE>", "only of devices of this site")
    .option("--device <ID>", "only of this device")
    .option("--since <TIME>", "received at or after, e.g. 2026-11-28T06:00:00Z")
    .option("--until <TIME>", "received before")
    .addOption(new Option("--why <WHY>", "only those that were kept for this").choices(archiveReasons))
    .option("--labelled", "only those with a label")
    .option("--limit <N>", "at most N frames", positive)
    .addOption(new Option("--archive <URL>", "the frame archive").env("TRIBUTARY_FRAME_ARCHIVE"))
    .addOption(
      new Option("--archive-token <TOKEN>", "its bearer token (default: --token)").env("TRIBUTARY_FRAME_ARCHIVE_TOKEN"),
    )
    .action(async (folder: string, _options: object, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      if (options.archive === undefined) {
        const message = "This speaks to the frame archive itself: give --archive URL or set TRIBUTARY_FRAME_ARCHIVE.";
        throw new CliError(exitCodes.usage, message);
      }
      const token = options.archiveToken ?? options.token;
      const archive = frameArchiveAt({ url: options.archive, token, waiting: waitingFor(io) });
      await exportTo(folder, archive, options, command, io);
    });

async function exportTo(
  folder: string,
  archive: FrameArchive,
  options: Options,
  command: Command,
  io: Io,
): Promise<void> {
  const frames = await listed(archive, options);
  await mkdir(join(folder, "frames"), { recursive: true }).catch(notWritten(folder));
  const written: ArchivedFrameView[] = [];
  const missing: string[] = [];
  const progress = new Progress(io, () => `fetching pictures: ${written.length} of ${frames.length}`);
  const queue = frames.values();
  const fetchNext = async (): Promise<void> => {
    for (const frame of queue) {
      if (io.signal.aborted) throw new CliError(exitCodes.failed, "Interrupted; the same command continues.");
      if (await writePicture(folder, archive, frame)) written.push(frame);
      else missing.push(frame.frameId);
    }
  };
  try {
    await Promise.all(Array.from({ length: FETCHES_MAX }, fetchNext));
  } finally {
    progress.end();
  }
  const { labels } = await writeIndex(folder, frames, new Set(written));
  for (const frameId of missing) io.stderr(`${frameId}: its picture was deleted meanwhile.\n`);
  const result = { folder, frames: written.length, labelled: labels, missing: missing.length };
  outputOf(command, io).one(result, folder, () => {
    io.stdout(`${folder}: ${written.length} frames, ${labels} pictures with a label.\n`);
  });
  if (missing.length > 0) throw new CliError(exitCodes.inPart, `${missing.length} frames were left out.`);
}

async function listed(archive: FrameArchive, options: Options): Promise<readonly ArchivedFrameView[]> {
  const { site, device, why, since, until, labelled, limit = Number.POSITIVE_INFINITY } = options;
  const query = { site, device, why, since, until, labelled: labelled && ("true" as const) };
  const frames: ArchivedFrameView[] = [];
  let after: string | undefined;
  do {
    const page = await archive.frames.list({ ...query, after, limit: Math.min(PAGE_MAX, limit - frames.length) });
    frames.push(...page.items);
    after = page.next ?? undefined;
  } while (after !== undefined && frames.length < limit);
  return frames;
}

const fileOf = ({ digest }: ArchivedFrameView): string => `frames/${digest}.jpg`;

/** False: the archive has deleted it. */
async function writePicture(folder: string, archive: FrameArchive, frame: ArchivedFrameView): Promise<boolean> {
  const { frameId, digest, bytes } = frame;
  if (!/^[0-9a-f]{64}$/.test(digest)) throw new CliError(exitCodes.failed, `${frameId}: "${digest}" is no SHA-256.`);
  const path = join(folder, fileOf(frame));
  if ((await stat(path).catch(() => undefined))?.size === bytes) return true;
  let jpeg: Uint8Array;
  try {
    jpeg = await archive.frames.picture({ frameId });
  } catch (error) {
    if (error instanceof GatewayRefusal && /^(picture-expired|frame-unknown)$/.test(error.code)) return false;
    throw error;
  }
  if (createHash("sha256").update(jpeg).digest("hex") !== digest) {
    throw new CliError(exitCodes.failed, `${frameId}: the picture that came is another one than ${digest}.`);
  }
  const incoming = `${path}.${frameId.replaceAll(":", "-")}`; // frames may have the same picture
  try {
    await writeFile(incoming, jpeg);
    await rename(incoming, path);
  } catch (error) {
    await rm(incoming, { force: true });
    notWritten(path)(error);
  }
  return true;
}

/** In the order of the list; of a picture with several labels, the frame that was received last has its label. */
async function writeIndex(
  folder: string,
  frames: readonly ArchivedFrameView[],
  written: ReadonlySet<ArchivedFrameView>,
): Promise<{ readonly labels: number }> {
  const labels = new Map<string, string>();
  const lines: string[] = [];
  for (const frame of frames) {
    if (!written.has(frame)) continue;
    const file = fileOf(frame);
    const label = frame.label?.label;
    if (typeof label === "string" && !labels.has(file)) labels.set(file, label);
    lines.push(`${JSON.stringify({ file, ...frame })}\n`);
  }
  const sorted = [...labels].sort(([a], [b]) => (a < b ? -1 : 1));
  const files = [
    ["labels.json", `${JSON.stringify(Object.fromEntries(sorted), null, 2)}\n`],
    ["frames.jsonl", lines.join("")],
  ] as const;
  for (const [name, text] of files) await writeFile(join(folder, name), text).catch(notWritten(join(folder, name)));
  return { labels: labels.size };
}

const notWritten = (path: string) => (error: unknown) => {
  throw new CliError(exitCodes.failed, `Cannot write ${path}: ${reasonOf(error)}`);
};
