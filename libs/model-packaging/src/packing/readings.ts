/** The single faults that a `preprocessor_config.json` can have, undone: what the file would have to state instead. Pure. Every
 * reading is another preprocessing; of two that make the same tensors only the simpler one is listed. In order of how much a
 * maker would have to change: one key first, whole conventions last. */
import { type Preprocessing, parsePreprocessing } from "@tributary/inference";

export type Json = Readonly<Record<string, unknown>>;

export type Reading = {
  /** The keys to write, as they stand in the file, and whose convention it is. */
  readonly what: string;
  /** How many keys of the file differ. */
  readonly changes: number;
  readonly config: Json;
};

const MEAN_STEPS = [-0.1, 0.1, -0.2, 0.2, -0.3, 0.3];
const STD_STEPS = [0.5, 0.7, 1.4, 2];
/** Sides that published classifiers take. */
const SIDES = [32, 64, 96, 128, 224, 256, 299, 384];
/** Published means and deviations of pixels from 0 to 1, in RGB, by whose they are. */
export const PUBLISHED = {
  ImageNet: { image_mean: [0.485, 0.456, 0.406], image_std: [0.229, 0.224, 0.225] },
  CLIP: { image_mean: [0.48145466, 0.4578275, 0.40821073], image_std: [0.26862954, 0.26130258, 0.27577711] },
  "CIFAR-10": { image_mean: [0.4914, 0.4822, 0.4465], image_std: [0.247, 0.2435, 0.2616] },
} as const;
const MNIST = { image_mean: 0.1307, image_std: 0.3081 };
/** Of Caffe's and Keras's older models: ImageNet's mean of pixels from 0 to 255, in BGR. */
const CAFFE = { image_mean: [103.939, 116.779, 123.68], image_std: 1 };
const RESCALED = { do_rescale: true, rescale_factor: 1 / 255 };

/** `fits`: whether the model's input takes what a preprocessing makes; the others need no try. `isFitted`: also means and deviations that
 * nobody published, in steps: the best is near the right one. */
export function otherReadings(
  config: Json,
  fits: (preprocessing: Preprocessing) => boolean = () => true,
  isFitted = false,
): readonly Reading[] {
  const seen = new Set([tensorsOf(parsePreprocessing(config))]);
  const readings: Reading[] = [];
  const steps = isFitted ? stepsOf(config) : [];
  for (const [change, whose] of [...keysOf(config), ...picturesOf(config), ...conventionsOf(config), ...steps]) {
    const other = { ...config, ...change };
    const preprocessing = parsed(other);
    if (preprocessing === null || seen.has(tensorsOf(preprocessing)) || !fits(preprocessing)) continue;
    seen.add(tensorsOf(preprocessing));
    const changed = Object.fromEntries(
      Object.entries(change).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(config[key])),
    );
    readings.push({
      what: `${written(changed)}${whose === undefined ? "" : ` (${whose})`}`,
      changes: Object.keys(changed).length,
      config: other,
    });
  }
  return readings;
}

type Change = readonly [change: Json, whose?: string];

/** Range, mean, deviation, channels. */
function keysOf(config: Json): readonly Change[] {
  const { image_mean: mean, image_std: std } = config;
  const isRescaled = config.do_rescale !== false;
  const isNormalised = config.do_normalize !== false;
  const turned = config.channel_order === "BGR" ? "RGB" : "BGR";
  const isTurnable = config.channel_order !== "L" && (Array.isArray(mean) || Array.isArray(std));
  const reversed = { image_mean: reversedOf(mean), image_std: reversedOf(std) };
  const changes: Change[] = [
    [isRescaled ? { do_rescale: false } : RESCALED],
    [{ do_normalize: !isNormalised }],
    ...(config.channel_order === "L" ? [] : ([[{ channel_order: turned }]] satisfies Change[])),
    ...[1 / 255, 1 / 127.5].map((factor): Change => [{ do_rescale: true, rescale_factor: factor }]),
  ];
  if (!isNormalised || mean === undefined || std === undefined) return changes;
  return [
    ...changes,
    [{ image_mean: std, image_std: mean }, "exchanged"],
    [{ image_mean: times(mean, 1 / 255), image_std: times(std, 1 / 255) }, "for pixels from 0 to 1"],
    [{ image_mean: times(mean, 255), image_std: times(std, 255) }, "for pixels from 0 to 255"],
    ...(isTurnable
      ? ([
          [reversed, "in the other order of channels"],
          [{ channel_order: turned, ...reversed }, "in the other order of channels, too"],
        ] satisfies Change[])
      : []),
  ];
}

/** Layout, size and kernel. */
function picturesOf(config: Json): readonly Change[] {
  const { height, width } = (config.size ?? {}) as { readonly height?: unknown; readonly width?: unknown };
  const isResized = config.do_resize !== false;
  const isSized = typeof height === "number" && typeof width === "number";
  // Libvips has no others.
  const kernels = config.image_library === "pillow" ? [1, 2, 3, 0, 4, 5] : [1, 2, 3];
  const sizes = SIDES.map((side): Change => [{ do_resize: true, size: { height: side, width: side } }]);
  return [
    [{ data_format: config.data_format === "channels_last" ? "channels_first" : "channels_last" }],
    [{ do_resize: !isResized }],
    ...(isResized ? kernels.map((resample): Change => [{ resample }]) : []),
    ...(isSized ? ([[{ size: { height: width, width: height } }]] satisfies Change[]) : []),
    ...sizes,
  ];
}

function conventionsOf(config: Json): readonly Change[] {
  const isGrey = config.channel_order === "L";
  const colours: Change[] = Object.entries(PUBLISHED).map(([whose, { image_mean, image_std }]) => {
    const isTurned = config.channel_order === "BGR";
    const turn = (values: readonly number[]) => (isTurned ? [...values].reverse() : values);
    const normalised = { do_normalize: true, image_mean: turn(image_mean), image_std: turn(image_std) };
    return [{ ...RESCALED, ...normalised }, `${whose}'s`];
  });
  return [
    [{ ...RESCALED, do_normalize: false }, "pixels from 0 to 1"],
    [{ ...RESCALED, do_normalize: true, image_mean: 0.5, image_std: 0.5 }, "pixels from -1 to 1"],
    [{ do_rescale: false, do_normalize: false }, "pixels from 0 to 255"],
    ...(isGrey
      ? ([[{ ...RESCALED, do_normalize: true, ...MNIST }, "MNIST's"]] satisfies Change[])
      : ([
          ...colours,
          [{ do_rescale: false, do_normalize: true, channel_order: "BGR", ...CAFFE }, "Caffe's"],
        ] satisfies Change[])),
  ];
}

/** Mean and deviation moved alone, by shares of the range that pixels have. */
function stepsOf(config: Json): readonly Change[] {
  const { image_mean: mean, image_std: std } = config;
  if (config.do_normalize === false || mean === undefined || std === undefined) return [];
  const factor = config.do_rescale === false ? 1 : ((config.rescale_factor as number | undefined) ?? 1 / 255);
  const plus = (value: unknown, by: number) => mapped(value, (one) => one + by * 255 * factor);
  const exactly = "to be found exactly by --golden";
  return [
    ...MEAN_STEPS.map(
      (by): Change => [{ image_mean: plus(mean, by) }, `${Math.abs(by)} ${by < 0 ? "lower" : "higher"}, ${exactly}`],
    ),
    ...STD_STEPS.map((by): Change => [{ image_std: times(std, by) }, `${by} times as large, ${exactly}`]),
  ];
}

/** Equal where two files make the same tensors, however their numbers were rounded. */
const tensorsOf = (preprocessing: Preprocessing): string =>
  JSON.stringify(preprocessing, (_key, value: unknown) =>
    typeof value === "number" ? Number(value.toPrecision(4)) : value,
  );

/** Null: it cannot be read, for example because the file has no mean that could be taken away. */
function parsed(config: Json): Preprocessing | null {
  try {
    return parsePreprocessing(config);
  } catch {
    return null;
  }
}

const times = (value: unknown, factor: number): unknown => mapped(value, (one) => one * factor);

function mapped(value: unknown, change: (one: number) => number): unknown {
  const one = (number: unknown) => Number(change(number as number).toPrecision(6));
  return Array.isArray(value) ? value.map(one) : one(value);
}

const reversedOf = (value: unknown): unknown => (Array.isArray(value) ? [...value].reverse() : value);

/** As it stands in the file. */
export const written = (change: Json): string =>
  Object.entries(change)
    .map(([key, value]) => `"${key}": ${JSON.stringify(value, rounded)}`)
    .join(", ");
const rounded = (_key: string, value: unknown) => (typeof value === "number" ? Number(value.toPrecision(6)) : value);
