/**
 * CSV (RFC 4180) in pieces of any length: quoted cells, quotes doubled inside them, any line end.
 *
 * V1. A quote that is never closed costs the record it opened in, not the rest of the file.
 * V2. A record holds at most `RECORD_CHARS_MAX` characters.
 */
export type CsvRecord = {
  /** Line it starts on, from 1. */
  readonly line: number;
  readonly cells: readonly string[];
  readonly problem?: string;
};

const RECORD_CHARS_MAX = 65_536;

export class CsvReader {
  readonly #delimiter: string;
  #text = "";
  #line = 1;

  constructor(delimiter: string) {
    this.#delimiter = delimiter;
  }

  push(text: string): CsvRecord[] {
    this.#text += text;
    return this.#take(false);
  }

  end(): CsvRecord[] {
    return this.#take(true);
  }

  #take(isEnd: boolean): CsvRecord[] {
    const records: CsvRecord[] = [];
    let from = 0;
    for (;;) {
      const record = this.#recordAt(from, isEnd);
      if (record === undefined) break;
      const { line, cells, problem, next } = record;
      if (problem !== undefined) records.push({ line, cells: [], problem });
      else if (cells.length > 1 || cells[0] !== "") records.push({ line, cells });
      from = next;
    }
    this.#text = this.#text.slice(from);
    return records;
  }

  /** Undefined while the record may continue in text that has not arrived. */
  #recordAt(from: number, isEnd: boolean): (CsvRecord & { readonly next: number }) | undefined {
    const text = this.#text;
    if (from >= text.length) return undefined;
    const line = this.#line;
    const cells: string[] = [];
    let cell = "";
    let lines = 0;
    let quoted = false;
    let at = from;
    for (; at < text.length && at - from <= RECORD_CHARS_MAX; at++) {
      const char = text[at] as string;
      if (quoted) {
        if (char !== '"') {
          cell += char;
          if (char === "\n") lines++;
        } else if (text[at + 1] === '"') cell += text[at++];
        else if (at + 1 >= text.length && !isEnd)
          return undefined; // the next piece may double it
        else quoted = false;
      } else if (char === '"' && cell === "") quoted = true;
      else if (char === this.#delimiter) {
        cells.push(cell);
        cell = "";
      } else if (char === "\n" || char === "\r") {
        if (char === "\r" && at + 1 >= text.length && !isEnd) return undefined;
        const next = at + (char === "\r" && text[at + 1] === "\n" ? 2 : 1);
        this.#line += lines + 1;
        return { line, cells: [...cells, cell], next };
      } else cell += char;
    }
    const oversized = at - from > RECORD_CHARS_MAX;
    if (!isEnd && !oversized) return undefined;
    if (!quoted && !oversized) return { line, cells: [...cells, cell], next: text.length };
    // V1, V2
    const problem = quoted ? "a quote is not closed" : `a record of more than ${RECORD_CHARS_MAX} characters`;
    const newline = text.indexOf("\n", from);
    this.#line++;
    return { line, cells: [], problem, next: newline < 0 ? text.length : newline + 1 };
  }
}

/** Of comma, semicolon and tab the one the header has most of. */
export function delimiterOf(header: string): string {
  const counts = [",", ";", "\t"].map((delimiter) => ({ delimiter, count: header.split(delimiter).length }));
  return counts.reduce((best, one) => (one.count > best.count ? one : best)).delimiter;
}
