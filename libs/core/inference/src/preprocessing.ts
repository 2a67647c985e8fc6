/** `preprocessor_config.json`, in Hugging Face's vocabulary. This file *is* the preprocessing, on device, in cloud and in
 * training. Everything in the file is done, and nothing else: a key or a value we cannot honour is refused.
 * `image_library` is our own key, as implementations of a resize differ: pictures are decoded and resized as Pillow does, bit for bit.
 * Packages of earlier versions do not have it, and go on with libvips, which they were measured with. */
import { isNumbers, type JsonObject, objectOr, Problems } from "./problems.ts";

export type Preprocessing = {
  /** null: pictures are taken as they are, and must all have the model's size. */
  readonly resize: { readonly width: number; readonly height: number; readonly kernel: ResizeKernel } | null;
  /** Whose pixels are made. */
  readonly library: ImageLibrary;
  readonly channelOrder: ChannelOrder;
  readonly layout: "channels_first" | "channels_last";
  /** tensor = pixel * scale + offset, per channel of `channelOrder`. */
  readonly scale: readonly number[];
  readonly offset: readonly number[];
};

export type ImageLibrary = "pillow" | "libvips";
export type ResizeKernel = "nearest" | "lanczos" | "bilinear" | "bicubic" | "box" | "hamming";
export type ChannelOrder = "RGB" | "BGR" | "L";

export const channelsOf = (preprocessing: Preprocessing): number => preprocessing.scale.length;

const CODE = "package-preprocessor-invalid";
const DOCUMENT = "preprocessor_config.json";
/** Pillow's numbers, which Hugging Face writes. */
const KERNELS: ReadonlyMap<unknown, ResizeKernel> = new Map([
  [0, "nearest"],
  [1, "lanczos"],
  [2, "bilinear"],
  [3, "bicubic"],
  [4, "box"],
  [5, "hamming"],
]);
/** Libvips' others differ from Pillow's in more than their rounding. */
const LIBVIPS_KERNELS: readonly ResizeKernel[] = ["lanczos", "bilinear", "bicubic"];
const SIDE_MAX = 4_096;
const KEYS = [
  "image_processor_type",
  "do_convert_rgb",
  "do_resize",
  "size",
  "resample",
  "image_library",
  "do_rescale",
  "rescale_factor",
  "do_normalize",
  "image_mean",
  "image_std",
  "channel_order",
  "data_format",
];

export function parsePreprocessing(json: unknown): Preprocessing {
  const root = objectOr(json, CODE, DOCUMENT);
  const problems = new Problems();
  problems.unknownKeys(root, KEYS);
  if (root.image_processor_type !== undefined) problems.text(root, "image_processor_type");
  const channelOrder =
    root.channel_order === undefined ? "RGB" : problems.oneOf<ChannelOrder>(root, "channel_order", ["RGB", "BGR", "L"]);
  // Hugging Face writes null where nobody chose. Of other flags it would mean "not done", for which `false` is clear.
  const rgb = root.do_convert_rgb === null ? { ...root, do_convert_rgb: undefined } : root;
  const wantsRgb = flag(problems, rgb, "do_convert_rgb", channelOrder !== "L");
  if (wantsRgb !== (channelOrder !== "L")) {
    problems.report("do_convert_rgb", `${channelOrder !== "L"} for channel order ${channelOrder}`, wantsRgb);
  }
  const channels = channelOrder === "L" ? 1 : 3;
  const factor = flag(problems, root, "do_rescale", true)
    ? problems.number({ rescale_factor: 1 / 255, ...root }, "rescale_factor", { min: 1e-9, max: 1e9 })
    : 1;
  const isNormalised = flag(problems, root, "do_normalize", true);
  const mean = isNormalised ? perChannel(problems, root, "image_mean", channels) : new Array<number>(channels).fill(0);
  const std = isNormalised ? perChannel(problems, root, "image_std", channels) : new Array<number>(channels).fill(1);
  if (std.some((value) => value <= 0)) problems.report("image_std", "numbers above 0", root.image_std);
  const library =
    root.image_library === undefined
      ? "libvips"
      : problems.oneOf<ImageLibrary>(root, "image_library", ["pillow", "libvips"]);
  const preprocessing: Preprocessing = {
    resize: flag(problems, root, "do_resize", true) ? resize(problems, root, library) : null,
    library,
    channelOrder,
    layout:
      root.data_format === undefined
        ? "channels_first"
        : problems.oneOf(root, "data_format", ["channels_first", "channels_last"]),
    scale: std.map((sd) => factor / sd),
    offset: std.map((sd, channel) => -(mean[channel] ?? 0) / sd),
  };
  problems.throwAs(CODE, DOCUMENT);
  return preprocessing;
}

/** The file that a package holds, made of the one that its maker wrote: Pillow is named unless the maker chose libvips, which is not named,
 * so that agents that do not know the key run such a package. */
export function packagedPreprocessing(json: unknown): JsonObject {
  const root = objectOr(json, CODE, DOCUMENT);
  if (root.image_library !== "libvips") return { image_library: "pillow", ...root };
  const { image_library: _, ...others } = root;
  return others;
}

/** The file for packing again what a package holds, by the library that it was measured with. */
export const repackedPreprocessing = (json: unknown): JsonObject => ({
  image_library: "libvips",
  ...objectOr(json, CODE, DOCUMENT),
});

/** The shape of one preprocessed picture, as the model sees it. */
export function inputShape(preprocessing: Preprocessing, width: number, height: number): readonly number[] {
  const channels = channelsOf(preprocessing);
  return preprocessing.layout === "channels_first" ? [channels, height, width] : [height, width, channels];
}

function resize(problems: Problems, root: JsonObject, library: ImageLibrary): Preprocessing["resize"] {
  const size = problems.object(root, "size");
  // `shortest_edge` would need a crop to give the model one shape; it comes when a model needs it.
  problems.unknownKeys(size, ["height", "width"], "size.");
  const kernel = KERNELS.get(root.resample ?? 2); // Hugging Face's default is bilinear.
  if (kernel === undefined || (library === "libvips" && !LIBVIPS_KERNELS.includes(kernel))) {
    const others = `0 (nearest), 4 (box) or 5 (Hamming)${library === "libvips" ? ' with "image_library": "pillow"' : ""}`;
    problems.report("resample", `1 (Lanczos), 2 (bilinear), 3 (bicubic), ${others}`, root.resample);
  }
  return {
    width: problems.number(size, "width", { min: 1, max: SIDE_MAX, whole: true }, "size."),
    height: problems.number(size, "height", { min: 1, max: SIDE_MAX, whole: true }, "size."),
    kernel: kernel ?? "bilinear",
  };
}

function flag(problems: Problems, root: JsonObject, key: string, otherwise: boolean): boolean {
  const value = root[key];
  if (value === undefined) return otherwise;
  if (typeof value !== "boolean") problems.report(key, "true or false", value);
  return value === true;
}

/** One number stands for every channel. */
function perChannel(problems: Problems, root: JsonObject, key: string, channels: number): readonly number[] {
  const value = root[key];
  if (typeof value === "number" && Number.isFinite(value)) return new Array<number>(channels).fill(value);
  if (isNumbers(value) && value.length === channels) return value;
  problems.report(key, `${channels} finite number(s)`, value);
  return new Array<number>(channels).fill(1);
}
