/** How results are shown: for people as tables, for programs as JSON or YAML, for shells as names. */
import { styleText } from "node:util";
import Table from "cli-table3";
import { stringify } from "yaml";

export const formats = ["table", "wide", "json", "yaml", "name"] as const;
export type Format = (typeof formats)[number];

export type Column<T> = {
  readonly head: string;
  readonly of: (item: T) => unknown;
  /** Only with -o wide. */
  readonly wide?: true;
};

export type View<T> = { readonly columns: readonly Column<T>[]; readonly name: (item: T) => string };

export type Style = Parameters<typeof styleText>[0];

export class Output {
  readonly format: Format;
  readonly #color: boolean;
  readonly #write: (text: string) => void;

  constructor(format: Format, color: boolean, write: (text: string) => void) {
    this.format = format;
    this.#color = color;
    this.#write = write;
  }

  get isForPeople(): boolean {
    return this.format === "table" || this.format === "wide";
  }

  line(text = ""): void {
    this.#write(`${this.isForPeople ? printableLines(text) : text}\n`);
  }

  style(style: Style, text: string): string {
    return this.#color ? styleText(style, text, { validateStream: false }) : text;
  }

  /** One object, for programs; people get `show`. */
  one<T>(value: T, name: string, show: (value: T) => void): void {
    if (this.format === "json") this.line(JSON.stringify(value, null, 2));
    else if (this.format === "yaml") this.#write(stringify(value));
    else if (this.format === "name") this.line(name);
    else show(value);
  }

  list<T>(items: readonly T[], view: View<T>, nothing: string): void {
    if (this.format === "json") this.line(JSON.stringify(items, null, 2));
    else if (this.format === "yaml") this.#write(stringify(items));
    else if (this.format === "name") for (const item of items) this.line(view.name(item));
    else if (items.length === 0) this.line(nothing);
    else this.#table(items, view);
  }

  /** One of a stream: a JSON document a line, YAML documents, or rows of fixed width. */
  streamed<T>(item: T, view: View<T>, row: (item: T) => string): void {
    if (this.format === "json") this.line(JSON.stringify(item));
    else if (this.format === "yaml") this.#write(`---\n${stringify(item)}`);
    else if (this.format === "name") this.line(view.name(item));
    else this.line(printable(row(item)));
  }

  pairs(pairs: readonly (readonly [name: string, value: unknown])[], indent = ""): void {
    const width = Math.max(...pairs.map(([name]) => name.length));
    for (const [name, value] of pairs) {
      this.line(`${indent}${this.style("dim", name.padEnd(width))}  ${shown(value)}`);
    }
  }

  #table<T>(items: readonly T[], view: View<T>): void {
    const columns = view.columns.filter((column) => this.format === "wide" || !column.wide);
    const table = new Table({
      head: columns.map((column) => this.style("bold", column.head)),
      style: { head: [], border: [], compact: true, "padding-left": 0, "padding-right": 3 },
      chars: BORDERLESS,
    });
    for (const item of items) table.push(columns.map((column) => shown(column.of(item))));
    for (const line of table.toString().split("\n")) this.line(line.trimEnd());
  }
}

const BORDERLESS = Object.fromEntries(
  // biome-ignore format: one row a side
  ["top", "top-mid", "top-left", "top-right", "bottom", "bottom-mid", "bottom-left", "bottom-right",
   "left", "left-mid", "mid", "mid-mid", "right", "right-mid", "middle"].map((side) => [side, ""]),
);

/** Results quote devices, files and services, whose text may contain terminal control sequences. Colours are kept. */
export const printable = (text: string): string =>
  text.replaceAll(/\p{Cc}(\[\d{1,3}m)?/gu, (found) =>
    found.startsWith("\u001b[")
      ? found
      : JSON.stringify(found)
          .slice(1, -1)
          .replace(/^[\u007f-\u009f]/, "?"),
  );

export const printableLines = (text: string): string => text.split("\n").map(printable).join("\n");

/** Numbers as written; missing values as a dash. */
export function shown(value: unknown): string {
  if (value === null || value === undefined || value === "") return "-";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  return printable(typeof value === "object" ? JSON.stringify(value) : String(value));
}

/** "12s", "4m", "3h", "2d" since an RFC 3339 time. */
export function ago(time: string | null | undefined, now: number): string {
  if (!time) return "-";
  const seconds = Math.max(0, Math.round((now - Date.parse(time)) / 1_000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)}h` : `${Math.round(seconds / 86_400)}d`;
}

/** Digests are recognised by their first twelve digits. */
export const short = (digest: string): string => digest.slice(0, 12);
