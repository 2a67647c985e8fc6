/**
 * Shows the progress of a long step on stderr.
 *
 * A step that ends within two seconds shows nothing. A terminal's line is overwritten; elsewhere, e.g. in a log, there is a
 * line every ten seconds. Of nested steps only the outermost shows its progress.
 */
import type { Io } from "./context.ts";
import type { Waiting } from "./gateway.ts";

const QUIET_MS = 2_000;
const TERMINAL_MS = 200;
const LOG_MS = 10_000;
const ERASE_LINE = "\r\u001b[K";

/** Outputs that show a step's progress. */
const shown = new WeakMap<Io, Progress>();

export class Progress {
  readonly #io: Io;
  readonly #text: () => string;
  readonly #startedAt: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #shown = false;

  /** `text` is called when it is shown. */
  constructor(io: Io, text: () => string) {
    this.#io = io;
    this.#text = text;
    this.#startedAt = io.now();
    if (shown.has(io)) return;
    shown.set(io, this);
    this.#timer = setTimeout(() => this.#show(), QUIET_MS);
    this.#timer.unref();
  }

  /** Before anything else is written to the terminal. */
  clear(): void {
    if (this.#shown && this.#io.isTerminal) this.#io.stderr(ERASE_LINE);
  }

  end(): void {
    if (shown.get(this.#io) !== this) return;
    shown.delete(this.#io);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.clear();
  }

  #show(): void {
    const seconds = Math.round((this.#io.now() - this.#startedAt) / 1_000);
    const text = `${this.#text()} (${seconds} s)`;
    this.#io.stderr(this.#io.isTerminal ? `${ERASE_LINE}${text}` : `${text}\n`);
    this.#shown = true;
    this.#timer = setTimeout(() => this.#show(), this.#io.isTerminal ? TERMINAL_MS : LOG_MS);
    this.#timer.unref();
  }
}

export const waitingFor =
  (io: Io): Waiting =>
  async (what, answer) => {
    const progress = new Progress(io, () => what);
    try {
      return await answer;
    } finally {
      progress.end();
    }
  };
