/**
 * Sends a labels file to the gateway, batch by batch.
 *
 * At most one batch is in flight, so a failure leaves one line from which everything may be sent again. A batch that may be
 * accepted later is retried for a while; the error then names the line to continue from. Labels of frames that the gateway
 * is still searching are sent again: each search continues where the last one stopped.
 */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { LABELS_MAX, type LabelBatch } from "@tributary/api";
import { backoffMs, reasonOf } from "@tributary/kernel";
import type { Context } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { GatewayRefusal } from "../gateway.ts";
import { printable } from "../output.ts";
import { Progress } from "../progress.ts";
import type { Entry } from "./entries.ts";
import { type LabelFormat, LabelsFileUnusable, readLabels } from "./read-labels.ts";

export type ImportOptions = {
  readonly file: string;
  readonly format?: LabelFormat;
  readonly source: string;
  readonly frameField?: string;
  readonly labelField?: string;
  readonly by?: string;
  readonly labelSet?: string;
  /** First line that counts. */
  readonly from: number;
  readonly allowUnknown?: boolean;
  readonly dryRun?: boolean;
};

export type ImportSummary = {
  readonly file: string;
  readonly dryRun: boolean;
  accepted: number;
  repeated: number;
  unchecked: number;
  skipped: number;
  bad: number;
  readonly badByCode: Record<string, number>;
  lastLine: number;
};

/** Standard input, instead of a file. */
export const stdinMark = "-";

const TRIES_MAX = 6;
const STILL_LOOKING = "frame-search-bounded";
const LOOKS_MAX = 20;
const BACKOFF = { minMs: 200, maxMs: 5_000 };

const MESSAGE_CHARS_MAX = 500;
const clipped = (text: string): string =>
  text.length > MESSAGE_CHARS_MAX ? `${text.slice(0, MESSAGE_CHARS_MAX)}…` : text;

type Good = Extract<Entry, { kind: "label" }>;

export async function importLabels(context: Context, options: ImportOptions): Promise<ImportSummary> {
  const { io } = context;
  const { file, from } = options;
  const summary: ImportSummary = {
    file,
    dryRun: options.dryRun === true,
    accepted: 0,
    repeated: 0,
    unchecked: 0,
    skipped: 0,
    bad: 0,
    badByCode: {},
    lastLine: 0,
  };
  const source = await openFile(file, io.signal);
  const progress = new Progress(io, () => {
    const share = source.bytes === undefined ? "" : `, ${Math.floor((100 * source.read()) / source.bytes)} %`;
    return `line ${summary.lastLine}${share}: ${summary.accepted} imported, ${summary.repeated} stored already, ${summary.bad} bad`;
  });
  const reportBad = (line: number, code: string, message: string): void => {
    summary.bad++;
    summary.badByCode[code] = (summary.badByCode[code] ?? 0) + 1;
    progress.clear();
    io.stderr(`${file}:${line}: ${printable(clipped(message))} (${code})\n`);
  };
  let batch: Good[] = [];
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return;
    let sent = batch;
    for (let looks = 1; sent.length > 0; looks++) {
      const result = await sendBatch(context, options, sent);
      summary.accepted += result.accepted;
      summary.repeated += result.repeated;
      summary.unchecked += result.unchecked;
      const again: Good[] = [];
      for (const { index, code, message } of result.refused) {
        const entry = sent[index];
        if (entry !== undefined && code === STILL_LOOKING && looks < LOOKS_MAX) again.push(entry);
        else reportBad(entry?.line ?? 0, code, message);
      }
      sent = again;
    }
    summary.lastLine = batch.at(-1)?.line ?? summary.lastLine;
    batch = [];
  };
  try {
    const names = { frame: options.frameField, label: options.labelField };
    for await (const entry of readLabels(source.pieces, options.format, names)) {
      if (entry.line < from) continue;
      if (entry.kind === "bad") reportBad(entry.line, entry.code, entry.message);
      else if (entry.kind === "skipped") summary.skipped++;
      else batch.push(entry);
      if (batch.length >= LABELS_MAX) await flush(); // The gateway looks for all frames of a batch in one pass
    }
    await flush();
    return summary;
  } catch (error) {
    throw failureOf(error, file, batch[0]?.line ?? summary.lastLine + 1, summary);
  } finally {
    progress.end();
  }
}

async function sendBatch({ gateway, io }: Context, options: ImportOptions, entries: readonly Good[]) {
  const labels = entries.map(({ label }) => ({
    source: options.source.toUpperCase() as LabelBatch["labels"][number]["source"],
    ...(options.by !== undefined && { labelledBy: options.by }),
    ...(options.labelSet !== undefined && { labelSet: options.labelSet }),
    ...label,
  }));
  const body = { labels, allowUnknown: options.allowUnknown === true, dryRun: options.dryRun === true };
  for (let tries = 0; ; tries++) {
    io.signal.throwIfAborted();
    try {
      return await gateway.labels.take({ body });
    } catch (error) {
      const mayPass = error instanceof GatewayRefusal ? error.retry : isUnreachable(error) && tries > 0;
      if (!mayPass || tries + 1 >= TRIES_MAX) throw error;
      await new Promise((done) => setTimeout(done, backoffMs(BACKOFF, tries, Math.random)));
    }
  }
}

const isUnreachable = (error: unknown): boolean =>
  error instanceof CliError && error.exitCode === exitCodes.unreachable;

/** The error, with the line to continue from. */
function failureOf(error: unknown, file: string, line: number, summary: ImportSummary): Error {
  if (error instanceof LabelsFileUnusable) return new CliError(exitCodes.failed, `${file}: ${error.message}.`);
  const aborted = (error as { name?: unknown } | null)?.name === "AbortError";
  if (!aborted && !(error instanceof CliError)) return error as Error;
  const done = `${summary.accepted} labels ${summary.dryRun ? "were checked" : "are stored"}`;
  const code = error instanceof CliError ? error.exitCode : exitCodes.failed;
  const what = aborted ? "Interrupted." : reasonOf(error);
  return new CliError(code, `${what}\n${done}. Continue with --from ${line}; importing lines again is safe.`);
}

type Source = { readonly pieces: AsyncIterable<string>; readonly bytes?: number; read(): number };

async function openFile(file: string, signal: AbortSignal): Promise<Source> {
  if (file === stdinMark) {
    process.stdin.setEncoding("utf8");
    return { pieces: process.stdin as AsyncIterable<string>, read: () => 0 };
  }
  try {
    const { size } = await stat(file);
    const stream = createReadStream(file, { encoding: "utf8", signal });
    await new Promise((opened, failed) => stream.once("open", opened).once("error", failed));
    return { pieces: stream as AsyncIterable<string>, bytes: size, read: () => stream.bytesRead };
  } catch (error) {
    throw new CliError(exitCodes.failed, `${file}: ${reasonOf(error)}`, { cause: error });
  }
}
