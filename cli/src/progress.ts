/**
 * Tells people on stderr how far a long step is.
 *
 * P1. Nothing is said of what ends within two seconds.
 * P2. A terminal's line is written over; elsewhere, e.g. in a log, there is a line every ten seconds.
 * P3. Of steps within steps only the outermost tells.
 */
import type { Io } from "./context.ts";
import type { Waiting } from "./gateway.ts";

const QUIET_MS = 2_000;
const TERMINAL_MS = 200;
const LOG_MS = 10_000;
const ERASE_LINE = "\r\u001b[K";

/** Those that tell, by whom they tell it to. */
const telling = new WeakMap<Io, Progress>();

export class Progress {
  readonly #io: Io;
  readonly #text: () => string;
  readonly #startedAt: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #shown = false;

  /** `text` is asked when it is shown. */
  constructor(io: Io, text: () => string) {
    this.#io = io;
    this.#text = text;
    this.#startedAt = io.now();
    if (telling.has(io)) return; // P3
    telling.set(io, this);
    this.#timer = setTimeout(() => this.#show(), QUIET_MS); // P1
    this.#timer.unref();
  }

  /** Before anything else is written to the terminal. */
  clear(): void {
    if (this.#shown && this.#io.isTerminal) this.#io.stderr(ERASE_LINE);
  }

  end(): void {
    if (telling.get(this.#io) !== this) return;
    telling.delete(this.#io);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.clear();
  }

  #show(): void {
    const seconds = Math.round((this.#io.now() - this.#startedAt) / 1_000);
    const text = `${this.#text()} (${seconds} s)`;
    this.#io.stderr(this.#io.isTerminal ? `${ERASE_LINE}${text}` : `${text}\n`); // P2
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
