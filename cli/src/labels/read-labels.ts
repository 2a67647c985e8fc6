/**
 * A labels file as entries, read as a stream.
 *
 * R1. Every line, record or task gives one entry or none; a bad one is reported and those after it are read.
 * R2. A line, a record and a task have a greatest length.
 */
import { CsvReader, type CsvRecord, delimiterOf } from "./csv.ts";
import { bad, type Entry, entryOf, type FieldNames, FRAME_FIELDS, LABEL_FIELDS } from "./entries.ts";
import { JsonArrayBroken, JsonElements } from "./json-elements.ts";
import { entryOfElement, entryOfObject } from "./label-studio.ts";

export const labelFormats = ["csv", "jsonl", "label-studio"] as const;
export type LabelFormat = (typeof labelFormats)[number];

/** By the first character that is not a space; undefined while there is none. */
export function formatOf(text: string): LabelFormat | undefined {
  const first = text.replace(/^\uFEFF/, "").trimStart()[0];
  if (first === undefined) return undefined;
  return first === "[" ? "label-studio" : first === "{" ? "jsonl" : "csv";
}

/** The header lacks required columns: nothing of the file can be read. */
export class LabelsFileUnusable extends Error {
  override name = "LabelsFileUnusable";
}

export async function* readLabels(
  pieces: AsyncIterable<string>,
  format: LabelFormat | undefined,
  names: FieldNames = {},
): AsyncGenerator<Entry> {
  let reader: EntryReader | undefined;
  let start = "";
  for await (const piece of pieces) {
    start += piece;
    const wanted = format ?? formatOf(start);
    if (wanted === undefined) continue;
    reader ??= readerOf(wanted, names);
    yield* reader.push(start.replace(/^\uFEFF/, ""));
    start = "";
  }
  if (reader === undefined) throw new LabelsFileUnusable("the file is empty");
  yield* reader.end();
}

type EntryReader = { push(text: string): Entry[]; end(): Entry[] };

function readerOf(format: LabelFormat, names: FieldNames): EntryReader {
  switch (format) {
    case "csv":
      return csvReader(names);
    case "jsonl":
      return lineReader(names);
    case "label-studio":
      return elementReader(names);
    default:
      return format satisfies never;
  }
}

/** R2 */
const LINE_CHARS_MAX = 1024 * 1024;

function lineReader(names: FieldNames): EntryReader {
  let rest = "";
  let line = 0;
  /** R2. The rest of a line that is too long is skipped. */
  let skipping = false;
  const read = (text: string): Entry[] => {
    if (skipping) {
      skipping = false;
      return [];
    }
    line++;
    if (text.trim() === "") return [];
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return [bad(line, "line-unreadable", "not JSON")];
    }
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    if (!isObject) return [bad(line, "line-unreadable", "not a JSON object")];
    return [entryOfObject(line, value as Record<string, unknown>, names)];
  };
  return {
    push(text) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      const entries = lines.flatMap(read);
      if (rest.length <= LINE_CHARS_MAX) return entries;
      if (!skipping) entries.push(bad(++line, "line-unreadable", `a line of more than ${LINE_CHARS_MAX} characters`));
      skipping = true;
      rest = "";
      return entries;
    },
    end: () => (rest === "" ? [] : read(rest)),
  };
}

function elementReader(names: FieldNames): EntryReader {
  const elements = new JsonElements();
  const broken = (error: unknown): Entry[] => {
    if (!(error instanceof JsonArrayBroken)) throw error;
    return [bad(error.line, "line-unreadable", error.message)];
  };
  let isBroken = false;
  return {
    push(text) {
      if (isBroken) return [];
      try {
        return elements.push(text).map(({ line, text: element }) => entryOfElement(line, element, names));
      } catch (error) {
        isBroken = true;
        return broken(error);
      }
    },
    end() {
      if (isBroken) return [];
      try {
        elements.end();
        return [];
      } catch (error) {
        return broken(error);
      }
    },
  };
}

const OPTIONAL = {
  labelledBy: ["labelledBy", "labelled_by", "annotator"],
  labelledAt: ["labelledAt", "labelled_at", "updated_at"],
  labelSet: ["labelSet", "label_set"],
  comment: ["comment"],
} as const;

const HEADER_CHARS_MAX = 65_536;

function csvReader(names: FieldNames): EntryReader {
  let reader: CsvReader | undefined;
  let columns: Columns | undefined;
  let start = "";
  const entries = (records: readonly CsvRecord[]): Entry[] =>
    records.flatMap((record) => {
      if (record.problem !== undefined) return [bad(record.line, "line-unreadable", record.problem)];
      if (columns === undefined) {
        columns = columnsOf(record.cells, names);
        return [];
      }
      return [entryOfRecord(record, columns)];
    });
  const started = (): CsvReader => {
    reader = new CsvReader(delimiterOf(start.split("\n")[0] ?? ""));
    return reader;
  };
  return {
    push(text) {
      if (reader !== undefined) return entries(reader.push(text));
      start += text;
      if (start.includes("\n")) return entries(started().push(start));
      if (start.length > HEADER_CHARS_MAX) throw new LabelsFileUnusable("it does not start with a header line"); // R2
      return [];
    },
    end() {
      const records = reader === undefined ? [...started().push(start)] : [];
      return entries([...records, ...(reader as CsvReader).end()]);
    },
  };
}

type Columns = { readonly count: number; readonly frame: number; readonly label: number } & {
  readonly [name in keyof typeof OPTIONAL]: number;
};

function columnsOf(header: readonly string[], names: FieldNames): Columns {
  const cells = header.map((cell) => cell.trim());
  const find = (candidates: readonly string[]): number => cells.findIndex((cell) => candidates.includes(cell));
  const needed = (given: string | undefined, candidates: readonly string[]): number => {
    const wanted = given === undefined ? candidates : [given];
    const at = find(wanted);
    if (at >= 0) return at;
    const have = cells.map((cell) => JSON.stringify(cell.slice(0, 40))).join(", ");
    throw new LabelsFileUnusable(`the header has no column ${wanted.join(" or ")}; it has ${have}`);
  };
  return {
    count: cells.length,
    frame: needed(names.frame, FRAME_FIELDS),
    label: needed(names.label, LABEL_FIELDS),
    labelledBy: find(OPTIONAL.labelledBy),
    labelledAt: find(OPTIONAL.labelledAt),
    labelSet: find(OPTIONAL.labelSet),
    comment: find(OPTIONAL.comment),
  };
}

function entryOfRecord({ line, cells }: CsvRecord, columns: Columns): Entry {
  if (cells.length !== columns.count) {
    return bad(line, "line-unreadable", `${cells.length} cells; the header has ${columns.count}`);
  }
  return entryOf(line, {
    frameId: cells[columns.frame],
    label: cells[columns.label],
    labelledBy: cells[columns.labelledBy],
    labelledAt: cells[columns.labelledAt],
    labelSet: cells[columns.labelSet],
    comment: cells[columns.comment],
  });
}
