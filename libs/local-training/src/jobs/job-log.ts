/** A job's log: lines with their time, the newest megabyte or two. */
import { appendFile, readFile, rename, stat } from "node:fs/promises";
import { join } from "node:path";

const FILE = "log.txt";
const OLDER_FILE = "log.1.txt";
const FILE_BYTES_MAX = 1 << 20;

export class JobLog {
  readonly #dir: string;
  #written: Promise<void> = Promise.resolve();

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** A log that cannot be written is no reason to end a training. */
  write(text: string, at: Date): Promise<void> {
    const line = `${at.toISOString()} ${text.replaceAll("\n", " ")}\n`;
    this.#written = this.#written.then(() => this.#append(line)).catch(() => {});
    return this.#written;
  }

  /** The newest lines, oldest first. */
  async tail(linesMax: number): Promise<readonly string[]> {
    const read = (file: string) => readFile(join(this.#dir, file), "utf8").catch(() => "");
    const lines = `${await read(OLDER_FILE)}${await read(FILE)}`.split("\n").filter((line) => line !== "");
    return linesMax <= 0 ? [] : lines.slice(-linesMax);
  }

  async #append(line: string): Promise<void> {
    const path = join(this.#dir, FILE);
    const size = await stat(path).then(
      (found) => found.size,
      () => 0,
    );
    if (size > FILE_BYTES_MAX) await rename(path, join(this.#dir, OLDER_FILE));
    await appendFile(path, line);
  }
}
