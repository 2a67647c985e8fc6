/** Typical single faults of a model's description. */
import type { Json } from "./models.ts";

export type Description = { readonly config: Json; readonly labels: readonly string[] };

export type Fault = {
  readonly name: string;
  /** Keys of the file that are wrong; `labels` for the labels file. */
  readonly keys: readonly string[];
  readonly description: Description;
};

const IMAGENET = { image_mean: [0.485, 0.456, 0.406], image_std: [0.229, 0.224, 0.225] };
const MEAN_AND_STD = ["do_normalize", "image_mean", "image_std"];

/** Every fault that this description can have. */
export function faultsOf({ config, labels }: Description): readonly Fault[] {
  const faults: Fault[] = [];
  const add = (name: string, keys: readonly string[], change: Json) =>
    faults.push({ name, keys, description: { config: withoutUndefined({ ...config, ...change }), labels } });
  const isRescaled = config.do_rescale !== false;
  const isNormalised = config.do_normalize !== false;
  const isGrey = config.channel_order === "L";
  const { image_mean: mean, image_std: std } = config;

  add("do_rescale turned", ["do_rescale", "rescale_factor"], { do_rescale: !isRescaled });
  if (isRescaled) add("rescale_factor 1/127.5", ["rescale_factor"], { rescale_factor: 1 / 127.5 });
  if (isNormalised) {
    add("do_normalize turned off", MEAN_AND_STD, { do_normalize: false });
    add("mean and std left out", MEAN_AND_STD, { do_normalize: false, image_mean: undefined, image_std: undefined });
    add("mean and std of 0 to 255", MEAN_AND_STD, { image_mean: times(mean, 255), image_std: times(std, 255) });
    if (JSON.stringify(mean) !== JSON.stringify(std)) {
      add("mean and std exchanged", MEAN_AND_STD, { image_mean: std, image_std: mean });
      add("mean and std 0.5", MEAN_AND_STD, { image_mean: 0.5, image_std: 0.5 });
    }
  } else {
    add("mean and std 0.5", MEAN_AND_STD, { do_normalize: true, image_mean: 0.5, image_std: 0.5 });
  }
  if (!isGrey) {
    if (JSON.stringify(mean) !== JSON.stringify(IMAGENET.image_mean)) {
      add("ImageNet's mean and std", MEAN_AND_STD, { do_normalize: true, ...IMAGENET });
    }
    const other = config.channel_order === "BGR" ? "RGB" : "BGR";
    add("channels turned", ["channel_order"], { channel_order: other });
    add("grey", ["channel_order"], { ...asGrey(config), channel_order: "L", do_convert_rgb: false });
  } else {
    add("in colour", ["channel_order"], { channel_order: "RGB", do_convert_rgb: true });
  }
  const layout = config.data_format === "channels_last" ? "channels_first" : "channels_last";
  add("layout turned", ["data_format"], { data_format: layout });
  add("resize turned off", ["do_resize"], { do_resize: false });
  add("size 224", ["size"], { size: { height: 224, width: 224 } });
  for (const resample of [1, 2, 3]) {
    if (resample !== config.resample) add(`resample ${resample}`, ["resample"], { resample });
  }

  const relabel = (name: string, other: readonly string[]) =>
    faults.push({ name, keys: ["labels"], description: { config, labels: other } });
  const [first, second, ...more] = labels as readonly [string, string];
  relabel("two labels exchanged", [second, first, ...more]);
  if (more.length > 0) relabel("labels begin with the last", [labels.at(-1) as string, ...labels.slice(0, -1)]);
  if (more.length > 0) relabel("labels from the end", [...labels].reverse());
  relabel("a label too many", ["background", ...labels]);
  return faults;
}

const asGrey = ({ do_normalize, image_mean, image_std }: Json): Json =>
  do_normalize === false ? {} : { image_mean: meanOf(image_mean), image_std: meanOf(image_std) };

function meanOf(value: unknown): number {
  const values = [value].flat() as number[];
  return values.reduce((sum, one) => sum + one, 0) / values.length;
}

const times = (value: unknown, factor: number): unknown =>
  Array.isArray(value) ? value.map((one: number) => one * factor) : (value as number) * factor;

const withoutUndefined = (json: Json): Json => JSON.parse(JSON.stringify(json)) as Json;
