/** The entries of a labels file, line by line: a label, an error, or nothing. */
import { formatFrameId, parseFrameId, reasonOf } from "@tributary/kernel";

export type FileLabel = {
  readonly frameId: string;
  readonly label: string | null;
  readonly labelledBy?: string;
  readonly labelledAt?: string;
  readonly labelSet?: string;
  readonly comment?: string;
};

export type Entry =
  | { readonly kind: "label"; readonly line: number; readonly label: FileLabel }
  | { readonly kind: "bad"; readonly line: number; readonly code: BadCode; readonly message: string }
  /** Not an error: e.g. a task without a label yet. */
  | { readonly kind: "skipped"; readonly line: number; readonly why: string };

export type BadCode = "line-unreadable" | "frame-missing" | "frame-id-malformed" | "label-missing" | "field-malformed";

export type FieldNames = {
  /** Of the frame's id; default: frameId, frame_id or frame. */
  readonly frame?: string | undefined;
  /** Of the label; default: label, choice or class. */
  readonly label?: string | undefined;
};

export const FRAME_FIELDS = ["frameId", "frame_id", "frame"] as const;
export const LABEL_FIELDS = ["label", "choice", "class"] as const;

export const bad = (line: number, code: BadCode, message: string): Entry => ({ kind: "bad", line, code, message });

type LabelFields = {
  readonly frameId: unknown;
  readonly label: unknown;
  readonly labelledBy?: unknown;
  readonly labelledAt?: unknown;
  readonly labelSet?: unknown;
  readonly comment?: unknown;
};

const CHARS_MAX = { label: 256, labelledBy: 256, labelSet: 256, comment: 1_000 };

/** One label from a file's fields, validated; the gateway then rejects only what it alone can check. */
export function entryOf(line: number, fields: LabelFields): Entry {
  const { frameId, label } = fields;
  if (typeof frameId !== "string" || frameId.trim() === "") return bad(line, "frame-missing", "no frame id");
  let id: string;
  try {
    id = formatFrameId(parseFrameId(frameId.trim()));
  } catch (error) {
    return bad(line, "frame-id-malformed", reasonOf(error));
  }
  if (label !== null && typeof label !== "string") {
    const what = label === undefined ? "no label" : `the label is ${JSON.stringify(label)}, not a text`;
    return bad(line, "label-missing", `${id}: ${what}`);
  }
  const trimmed = label === null ? null : label.trim();
  if (trimmed === "")
    return bad(line, "label-missing", `${id}: the label is empty; JSON's null means "cannot be labelled"`);
  const texts = { label: trimmed, labelledBy: fields.labelledBy, labelSet: fields.labelSet, comment: fields.comment };
  const more: Record<string, string> = {};
  for (const [name, value] of Object.entries(texts)) {
    if (value === undefined || value === null || value === "") continue;
    if (typeof value !== "string") return bad(line, "field-malformed", `${id}: ${name} is not a text`);
    const max = CHARS_MAX[name as keyof typeof CHARS_MAX];
    if (value.length > max) return bad(line, "field-malformed", `${id}: ${name} has more than ${max} characters`);
    if (name !== "label") more[name] = value;
  }
  const at = timeOf(fields.labelledAt);
  if (at === null)
    return bad(line, "field-malformed", `${id}: labelledAt is not a time: ${JSON.stringify(fields.labelledAt)}`);
  return {
    kind: "label",
    line,
    label: { frameId: id, label: trimmed, ...more, ...(at !== undefined && { labelledAt: at }) },
  };
}

/** RFC 3339; null if it is not a time. */
function timeOf(value: unknown): string | undefined | null {
  if (value === undefined || value === null || value === "") return undefined;
  const ms = typeof value === "number" ? value : typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isFinite(ms) && Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : null;
}

/** The first field of these that an object has. */
export function fieldOf(values: Readonly<Record<string, unknown>>, names: readonly string[]): unknown {
  const name = names.find((candidate) => Object.hasOwn(values, candidate));
  return name === undefined ? undefined : values[name];
}
