/** What a run's `evidence` says, for its readers: tributary.training/1. A part that is missing or malformed is left out, since
 * backends of others need not measure what ours does. */

import type { SplitAccuracy, TrainingResult } from "../job.ts";
import type { Recipe } from "../recipe.ts";

export type TrainingEvidence = Pick<TrainingResult, "blend" | "steps" | "loss" | "cpuSeconds" | "wallSeconds"> & {
  readonly recipe: Partial<Recipe>;
  readonly blends: NonNullable<TrainingResult["blends"]>;
  readonly accuracies: readonly SplitAccuracy[];
  readonly notes: readonly string[];
};

type Json = Readonly<Record<string, unknown>>;

/** Of the field `evidence` of training.results.v1: the parts of a backend's result beside `recipe`, or within `result`. */
export function trainingEvidenceOf(text: string): TrainingEvidence {
  const whole = parsed(text);
  const result = { ...whole, ...objectOf(whole.result) };
  const number = (name: string): number | undefined => (isNumber(result[name]) ? (result[name] as number) : undefined);
  const [blend, steps, loss] = [number("blend"), number("steps"), number("loss")];
  const [cpuSeconds, wallSeconds] = [number("cpuSeconds"), number("wallSeconds")];
  return {
    recipe: objectOf(whole.recipe) as Partial<Recipe>,
    blends: listOf(result.blends).filter(isBlend),
    accuracies: listOf(result.accuracies).filter(isAccuracy),
    notes: listOf(result.notes).filter((note) => typeof note === "string"),
    ...(blend !== undefined && { blend }),
    ...(steps !== undefined && { steps }),
    ...(loss !== undefined && { loss }),
    ...(cpuSeconds !== undefined && { cpuSeconds }),
    ...(wallSeconds !== undefined && { wallSeconds }),
  };
}

function parsed(text: string): Json {
  try {
    return objectOf(JSON.parse(text));
  } catch {
    return {};
  }
}

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const objectOf = (value: unknown): Json =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

function isBlend(value: unknown): value is TrainingEvidence["blends"][number] {
  const { blend, slice, base } = objectOf(value);
  return isNumber(blend) && isNumber(slice) && isNumber(base);
}

function isAccuracy(value: unknown): value is SplitAccuracy {
  const { slice, split, frames, before, after, classes } = objectOf(value);
  const isMeasured = isNumber(frames) && isNumber(before) && isNumber(after);
  return (
    typeof slice === "string" &&
    typeof split === "string" &&
    isMeasured &&
    Object.values(objectOf(classes)).every((one) => {
      const { frames, before, after } = objectOf(one);
      return isNumber(frames) && isNumber(before) && isNumber(after);
    })
  );
}
