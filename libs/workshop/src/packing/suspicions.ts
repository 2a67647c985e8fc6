/** What is probably wrong when a model and its preprocessing load, run, and yet see nothing: told by trying the usual
 * mistakes on a few validation frames. Pure but for `accuracyWith`.
 *
 * S1. A suspicion is voiced only when the other reading is right clearly more often: by ten points and by an exact sign
 *     test at 0.1 %.
 * S2. Nothing is changed silently: the maker decides. */
import { binomialCdf } from "@tributary/statistics";

export type Json = Readonly<Record<string, unknown>>;
/** Per frame, whether the model was right. */
export type Right = readonly boolean[];

const IMAGENET = { image_mean: [0.485, 0.456, 0.406], image_std: [0.229, 0.224, 0.225] };

/** The usual mistakes, as `preprocessor_config.json` would have to read instead. */
export function otherReadings(config: Json): readonly { readonly what: string; readonly config: Json }[] {
  const isGrey = config.channel_order === "L";
  const plain = { do_rescale: true, rescale_factor: 1 / 255, do_normalize: false };
  const readings: [string, Json][] = [
    ['pixels from 0 to 255: "do_rescale": false, "do_normalize": false', { do_rescale: false, do_normalize: false }],
    ['pixels from 0 to 1: "do_rescale": true, "do_normalize": false', plain],
    [
      'pixels from -1 to 1: "image_mean": 0.5, "image_std": 0.5',
      { ...plain, do_normalize: true, image_mean: 0.5, image_std: 0.5 },
    ],
    ...(isGrey
      ? []
      : ([
          [
            `"channel_order": "${config.channel_order === "BGR" ? "RGB" : "BGR"}"`,
            { channel_order: config.channel_order === "BGR" ? "RGB" : "BGR" },
          ],
          ["ImageNet's mean and standard deviation", { ...plain, do_normalize: true, ...IMAGENET }],
        ] satisfies [string, Json][])),
  ];
  return readings.map(([what, change]) => ({ what, config: withoutUndefined({ ...config, ...change }) }));
}

/** S1. */
export function isClearlyBetter(other: Right, own: Right): boolean {
  let better = 0;
  let worse = 0;
  for (const [i, right] of other.entries()) {
    if (right && !own[i]) better += 1;
    if (!right && own[i]) worse += 1;
  }
  if (better - worse < 0.1 * own.length) return false;
  return binomialCdf(worse, better + worse, 0.5) < 1e-3;
}

/** True when being right so often is no more than guessing the most frequent class. One-sided exact test at 1 %. */
export function isGuessing(right: Right, labels: readonly number[]): boolean {
  const counts = new Map<number, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  const chance = Math.max(...counts.values()) / labels.length;
  const hits = right.filter(Boolean).length;
  return 1 - binomialCdf(hits - 1, right.length, Math.min(chance, 1 - 1e-9)) > 0.01;
}

/**
 * The order in which the labels would fit, when each output stands for one class but not for the one that its line says;
 * null when no order is clearly better.
 */
export function otherLabelOrder(
  predicted: readonly number[],
  labels: readonly number[],
  names: readonly string[],
): readonly string[] | null {
  const counts = names.map(() => new Array<number>(names.length).fill(0));
  for (const [i, output] of predicted.entries()) {
    const row = counts[output] as number[];
    row[labels[i] as number] = (row[labels[i] as number] ?? 0) + 1;
  }
  const pairs = counts
    .flatMap((row, output) => row.map((count, label) => ({ output, label, count })))
    .sort((a, b) => b.count - a.count);
  const order = new Map<number, number>();
  const taken = new Set<number>();
  for (const { output, label } of pairs) {
    if (order.has(output) || taken.has(label)) continue;
    order.set(output, label);
    taken.add(label);
  }
  const own = predicted.map((output, i) => output === labels[i]);
  const other = predicted.map((output, i) => order.get(output) === labels[i]);
  return isClearlyBetter(other, own) ? names.map((_, output) => names[order.get(output) ?? output] as string) : null;
}

const withoutUndefined = (json: Json): Json => JSON.parse(JSON.stringify(json)) as Json;
