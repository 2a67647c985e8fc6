/**
 * Tasks of Label Studio's JSON and JSON-MIN exports as labels.
 *
 * S1. The newest annotation of a task that was not cancelled counts; a task without one is skipped, not bad.
 * S2. The frame's id is in the task's data, or in the name of its picture as `labels next --save` gave it.
 */
import { bad, type Entry, entryOf, type FieldNames, FRAME_FIELDS, fieldOf, LABEL_FIELDS } from "./entries.ts";
import { frameOfPicture } from "./frame-names.ts";

type Json = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const objectsOf = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isObject) : []);

/** An element of the export's array: a task, a JSON-MIN row, or simply an object with a frame and a label. */
export function entryOfElement(line: number, text: string, names: FieldNames): Entry {
  let task: unknown;
  try {
    task = JSON.parse(text);
  } catch {
    return bad(line, "line-unreadable", "not JSON");
  }
  if (!isObject(task)) return bad(line, "line-unreadable", "not a JSON object");
  const annotations = task.annotations ?? task.completions;
  return Array.isArray(annotations) ? entryOfTask(line, task, annotations, names) : entryOfObject(line, task, names);
}

export function entryOfObject(line: number, values: Json, names: FieldNames): Entry {
  const label = fieldOf(values, names.label === undefined ? LABEL_FIELDS : [names.label]);
  return entryOf(line, {
    frameId: frameIn(values, names),
    label: isObject(label) && Array.isArray(label.choices) && label.choices.length === 1 ? label.choices[0] : label,
    labelledBy: textOf(values.labelledBy ?? values.labelled_by ?? values.annotator),
    labelledAt: values.labelledAt ?? values.labelled_at ?? values.updated_at ?? values.created_at,
    labelSet: values.labelSet ?? values.label_set,
    comment: values.comment,
  });
}

function entryOfTask(line: number, task: Json, annotations: readonly unknown[], names: FieldNames): Entry {
  const data = isObject(task.data) ? task.data : {};
  const meta = isObject(task.meta) ? task.meta : {};
  const frameId = frameIn(data, names) ?? frameIn(meta, names) ?? pictureFrame([task.file_upload], "upload/");
  const [newest] = objectsOf(annotations)
    .filter((annotation) => annotation.was_cancelled !== true)
    .sort((a, b) => timeOf(b) - timeOf(a)); // S1
  if (newest === undefined) return { kind: "skipped", line, why: "it has no label" };
  const choices = objectsOf(newest.result).flatMap((result) => choicesOf(result, names));
  if (choices.length !== 1) {
    const where = typeof frameId === "string" ? frameId : `task ${String(task.id)}`;
    return bad(line, "label-missing", `${where}: ${choices.length} choices; expected one`);
  }
  return entryOf(line, {
    frameId,
    label: choices[0],
    labelledBy: textOf(newest.completed_by),
    labelledAt: newest.updated_at ?? newest.created_at,
    labelSet: task.project === undefined ? undefined : `label-studio project ${String(task.project)}`,
  });
}

/** Of the control named `names.label`, or of any. */
function choicesOf(result: Json, names: FieldNames): unknown[] {
  if (names.label !== undefined && result.from_name !== names.label) return [];
  const { choices } = isObject(result.value) ? result.value : {};
  return Array.isArray(choices) ? choices : [];
}

function frameIn(values: Json, names: FieldNames): unknown {
  const frame = fieldOf(values, names.frame === undefined ? FRAME_FIELDS : [names.frame]);
  return frame ?? pictureFrame(Object.values(values)); // S2
}

const pictureFrame = (values: readonly unknown[], before = ""): string | undefined =>
  values.flatMap((value) => (typeof value === "string" ? (frameOfPicture(before + value) ?? []) : []))[0];

const timeOf = ({ updated_at, created_at }: Json): number => Date.parse(String(updated_at ?? created_at)) || 0;

/** Users come as a number, an e-mail address or an object. */
function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "number") return `user ${value}`;
  return isObject(value) ? textOf(value.email ?? value.username ?? value.id) : undefined;
}
