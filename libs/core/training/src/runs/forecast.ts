/**
 * What so many labels would give, before anybody labels: the share of the lost accuracy that a training regains. Pure.
 *
 * regained = level (1 - exp(-labels / LABELS_SCALE)). The level differs by drift and model: before any training of the model it is normal
 * around `LEVEL`, and each earlier training corrects it, as one observation with the noise of a few frames to tune on. The numbers are those of
 * `npm run bench -- retrain --tasks`, which prints each forecast beside what came. A training that gives nothing regained 0.
 */
import type { TrainingRun } from "@tributary/contracts";

export type PastTraining = { readonly labels: number; readonly regained: number };
/** `low`, `high`: four of five trainings are between them. */
export type Forecast = { readonly regained: number; readonly low: number; readonly high: number };

const LABELS_SCALE = 150;
const LEVEL = { mean: 0.4, deviation: 0.3 } as const;
const NOISE = 0.2;
const Z_80 = 1.2816;
/** Less is lost in noise. */
const LOST_MIN = 0.03;

const shapeOf = (labels: number): number => 1 - Math.exp(-labels / LABELS_SCALE);

/** `labels`: to train on. */
export function forecastRegained(labels: number, past: readonly PastTraining[]): Forecast {
  let [precision, weighted] = [1 / LEVEL.deviation ** 2, LEVEL.mean / LEVEL.deviation ** 2];
  for (const { labels: used, regained } of past) {
    const shape = shapeOf(used);
    precision += shape ** 2 / NOISE ** 2;
    weighted += (shape * regained) / NOISE ** 2;
  }
  const shape = shapeOf(labels);
  const regained = shape * (weighted / precision);
  const error = Z_80 * Math.sqrt(shape ** 2 / precision + NOISE ** 2 / 4);
  return { regained, low: Math.max(0, regained - error), high: Math.min(1, regained + error) };
}

/** Of a model's runs, those that measured what they regained. */
export function pastTrainings(runs: Iterable<TrainingRun>, model: string): readonly PastTraining[] {
  return [...runs].flatMap((run): PastTraining[] => {
    if (run.model !== model) return [];
    const { "labels.train": labels, "accuracy.base.before": elsewhere } = run.metrics;
    const { "accuracy.slice.before": before, "accuracy.slice.after": after } = run.metrics;
    if (labels === undefined || elsewhere === undefined || before === undefined || after === undefined) return [];
    const lost = elsewhere - before;
    return lost < LOST_MIN ? [] : [{ labels, regained: Math.max(-1, Math.min(1, (after - before) / lost)) }];
  });
}

/** For people. */
export function forecastWords(labels: number, past: readonly PastTraining[]): string {
  const { low, high } = forecastRegained(labels, past);
  const share = (value: number) => `${Math.round(100 * value)}`;
  const from =
    past.length === 0 ? "no earlier training" : `${past.length} earlier training${past.length === 1 ? "" : "s"}`;
  return `${share(low)} to ${share(high)} % of what is lost is expected back, from ${from} of the model`;
}
