/** Whether packing's diagnosis of a faulty description is correct. */
import { parsePreprocessing } from "@tributary/inference";
import { type DifferingPairs, weightedSignTest } from "@tributary/statistics";
import type { Description, Fault } from "./faults.ts";
import type { Json } from "./models.ts";

/** The correction in a message, or null. */
export function curedBy(messages: string, { config, labels }: Description): Description | null {
  const named = /[:;] write (.+?)(?: in (preprocess|labels)\.json: |$)/m.exec(messages);
  if (named === null) return null;
  const [, what = "", file] = named;
  if (file === "labels") return { config, labels: what.split(", ") };
  const keys = what.replace(/ \([^()"]*\)$/, "");
  return { config: { ...config, ...(JSON.parse(`{${keys}}`) as Json) }, labels };
}

export type Answer =
  /** The correction gives the same tensors, or the same labels, as the true description. */
  | "exact"
  /** The right keys, with values that are as good on these frames. */
  | "as good"
  | "wrong"
  | "unnamed";

export type Loss = { readonly points: number; readonly isSignificant: boolean };

export function answerOf(
  messages: string,
  fault: Fault,
  truth: Description,
  lossOfCure: Loss | null,
  cure: Description | null,
): Answer {
  // Which of its labels is too many the file cannot know.
  if (cure === null) return /label count/.test(messages) && fault.name === "a label too many" ? "exact" : "unnamed";
  if (sameTensors(cure.config, truth.config) && cure.labels.join() === truth.labels.join()) return "exact";
  const changed = Object.keys({ ...cure.config, ...fault.description.config }).filter(
    (key) => JSON.stringify(cure.config[key]) !== JSON.stringify(fault.description.config[key]),
  );
  const keys = cure.labels.join() === fault.description.labels.join() ? changed : ["labels"];
  const isRightKey = keys.some((key) => fault.keys.includes(key));
  return isRightKey && lossOfCure !== null && !lossOfCure.isSignificant ? "as good" : "wrong";
}

/** Of balanced accuracy, by the frames on which exactly one of two descriptions is right; one-sided at 5 %. */
export function lossOf(before: readonly boolean[], after: readonly boolean[], labels: readonly number[]): Loss {
  const counts = new Map<number, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  let total = 0;
  const differing = new Map<number, number>();
  for (const [i, label] of labels.entries()) {
    const lead = Number(before[i]) - Number(after[i]);
    if (lead === 0) continue;
    total += lead / (counts.get(label) as number);
    differing.set(label, (differing.get(label) ?? 0) + 1);
  }
  const pairs = [...differing].map(
    ([label, count]): DifferingPairs => ({ weight: 1 / (counts.get(label) as number), count }),
  );
  return { points: (100 * total) / counts.size, isSignificant: weightedSignTest(total, pairs) < 0.05 };
}

const sameTensors = (one: Json, other: Json): boolean => tensorsOf(one) === tensorsOf(other);

function tensorsOf(config: Json): string | null {
  try {
    return JSON.stringify(parsePreprocessing(config), (_key, value: unknown) =>
      typeof value === "number" ? Number(value.toPrecision(4)) : value,
    );
  } catch {
    return null;
  }
}
