/**
 * The folder of one command's job: what trainers and the process beside the command say to each other.
 *
 * `job.json` is the order, `state.json` how far it is, `log.old.txt` and `log.txt` its output, `cancel` asks for its end. So any trainer
 * that sees the folder can ask for the job and end it, whichever started it.
 *
 * F1. A running job's state is written anew every HEARTBEAT_MS; one that is silent for SILENT_MS has no process any more. */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readBounded, writeDurably } from "@tributary/kernel/durable-file";
import { z } from "zod";

export const HEARTBEAT_MS = 2_000;
export const SILENT_MS = 30_000;
export const LINE_LENGTH_MAX = 1_000;

export const CommandFiles = {
  order: "job.json",
  state: "state.json",
  cancel: "cancel",
  log: "log.txt",
  logBefore: "log.old.txt",
} as const;

const recordSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("running"), progress: z.number().nullable(), line: z.string() }),
  z.strictObject({ kind: z.literal("succeeded") }),
  z.strictObject({ kind: z.literal("failed"), reason: z.string(), isRetryable: z.boolean() }),
  z.strictObject({ kind: z.literal("cancelled") }),
]);

export type CommandRecord = z.output<typeof recordSchema>;

const RECORD_BYTES_MAX = 64 << 10;

export class CommandFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  file(name: keyof typeof CommandFiles): string {
    return join(this.path, CommandFiles[name]);
  }

  write(record: CommandRecord): Promise<void> {
    return writeDurably(this.file("state"), Buffer.from(JSON.stringify(record)));
  }

  /** With the age of what is known; undefined: there is no such job. */
  async read(
    nowMs: number,
  ): Promise<{ readonly record: CommandRecord | undefined; readonly ageMs: number } | undefined> {
    const bytes = await readBounded(this.file("state"), RECORD_BYTES_MAX);
    const parsed = Buffer.isBuffer(bytes) ? recordSchema.safeParse(JSON.parse(bytes.toString())) : undefined;
    const record = parsed?.success ? parsed.data : undefined;
    const changed = await stat(record === undefined ? this.path : this.file("state")).catch(() => undefined);
    return changed === undefined ? undefined : { record, ageMs: nowMs - changed.mtimeMs };
  }

  async isCancelled(): Promise<boolean> {
    return (await stat(this.file("cancel")).catch(() => undefined)) !== undefined;
  }

  async cancel(): Promise<void> {
    await writeFile(this.file("cancel"), "");
  }

  async lines(linesMax: number): Promise<readonly string[]> {
    const read = (name: "log" | "logBefore") => readFile(this.file(name), "utf8").catch(() => "");
    const lines = ((await read("logBefore")) + (await read("log"))).split("\n");
    return lines
      .map((line) => line.slice(0, LINE_LENGTH_MAX))
      .filter((line) => line.trim() !== "")
      .slice(-linesMax);
  }
}
