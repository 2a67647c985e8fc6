/** Preprocessing as devices get it wrong: each fault of the field is one pipeline that is broken on purpose, from a JPEG to the
 * tensor that the model would then be given. Decoded, resized and normalised by what devices run (`@tributary/onnx`). A fault
 * that a package cannot have (channels of a grey model, a resize that is not done) is left out or makes the right tensor. */
import { PIXEL_BAND, type Preprocessing, parsePreprocessing, type ResizeKernel } from "@tributary/inference";
import { Failure, type Random } from "@tributary/kernel";
import { decodePicture, Normaliser, PIXELS_MAX, resizePixels } from "@tributary/onnx";
import sharp, { type Sharp } from "sharp";
import { type Json, PUBLISHED } from "./readings.ts";

/** Share of a picture's values that may be outside the band: decoders and resizes that are not Pillow's differ more in a few places. */
export const OUTSIDE_MAX = 0.01;

const BAND_SQUARE = (PIXEL_BAND + 1e-3) ** 2;

export type PixelDifferences = { readonly max: number; readonly outside: number; readonly meanSquare: number };

/** Differences of two tensors of one picture in units of its 8-bit pixels: the largest, the share of values outside the band in
 * which two implementations agree, and the mean of their squares. Infinite for another number of values. */
export function pixelDifferences(a: Float32Array, b: Float32Array, { scale, layout }: Units): PixelDifferences {
  if (a.length !== b.length) {
    return { max: Number.POSITIVE_INFINITY, outside: 1, meanSquare: Number.POSITIVE_INFINITY };
  }
  const area = a.length / scale.length;
  const isFirst = layout === "channels_first";
  let [max, outside, squares] = [0, 0, 0];
  for (const [channel, step] of scale.entries()) {
    for (let i = 0, at = isFirst ? channel * area : channel; i < area; i++, at += isFirst ? 1 : scale.length) {
      const difference = ((a[at] as number) - (b[at] as number)) / step;
      const square = difference * difference;
      squares += square;
      if (square > max) max = square;
      if (square > BAND_SQUARE) outside += 1;
    }
  }
  return { max: Math.sqrt(max), outside: outside / a.length, meanSquare: squares / a.length };
}

type Units = Pick<Preprocessing, "scale" | "layout">;

/** Whether they agree as those of two implementations of the same preprocessing do. */
export const areWithinBand = (a: Float32Array, b: Float32Array, units: Units): boolean =>
  pixelDifferences(a, b, units).outside <= OUTSIDE_MAX;

export type Pipeline = (jpeg: Uint8Array) => Promise<Float32Array>;
export type PipelineFault = {
  readonly name: string;
  readonly tensorOf: Pipeline;
  /** The same in two steps: the picture of the model's size, and what becomes of it. */
  readonly pictureOf: (jpeg: Uint8Array) => Promise<Picture>;
  readonly finish: (picture: Picture) => Float32Array;
};

/** Interleaved 8-bit RGB. */
export type Picture = { readonly pixels: Uint8Array; readonly width: number; readonly height: number };
type Side = { readonly width: number; readonly height: number };

/** The right pipeline: what every device makes of a JPEG. Throws the Failure of a picture that cannot be decoded. */
export const rightPipeline =
  (preprocessing: Preprocessing): Pipeline =>
  async (jpeg) =>
    tensorOf(await decoded(jpeg, preprocessing), preprocessing);

/** The picture as another decoder and resize might leave it: its pixels differ by up to `PIXEL_BAND`. */
export function noisyPicture({ pixels, ...side }: Picture, { channelOrder }: Preprocessing, random: Random): Picture {
  const draw = () => Math.floor((2 * PIXEL_BAND + 1) * random()) - PIXEL_BAND;
  const noisy = new Uint8ClampedArray(pixels.length);
  let noise = 0;
  for (let i = 0; i < noisy.length; i++) {
    if (channelOrder !== "L" || i % 3 === 0) noise = draw(); // grey pictures have one channel, thrice
    noisy[i] = (pixels[i] as number) + noise;
  }
  return { pixels: new Uint8Array(noisy.buffer), ...side };
}

const faultOf = (
  name: string,
  pictureOf: PipelineFault["pictureOf"],
  finish: PipelineFault["finish"],
): PipelineFault => ({ name, pictureOf, finish, tensorOf: async (jpeg) => finish(await pictureOf(jpeg)) });

export function pipelineFaults(config: Json): readonly PipelineFault[] {
  const right = parsePreprocessing(config);
  const isColour = right.channelOrder !== "L";
  return [
    ...normalisationFaults(config, right),
    ...pictureFaults(right),
    ...pixelFaults
      .filter((fault) => isColour || !fault.isOfColour)
      .map(({ name, change }) => pixelFault(name, right, change)),
    faultOf(
      "bytes-taken-as-signed",
      (jpeg) => decoded(jpeg, right),
      (picture) => signed(picture, right),
    ),
    faultOf(
      "tensor-not-filled",
      (jpeg) => decoded(jpeg, right),
      (picture) => tensorOf(picture, right).fill(0),
    ),
  ];
}

function normalisationFaults(config: Json, right: Preprocessing): readonly PipelineFault[] {
  const { image_mean: mean, image_std: std } = config;
  const isRescaled = config.do_rescale !== false;
  const factor = typeof config.rescale_factor === "number" ? config.rescale_factor : 1 / 255;
  // Means and deviations of pixels from 0 to 1, for pixels as this package rescales them.
  const unit = isRescaled ? factor * 255 : 255;
  const isTurned = config.channel_order === "BGR";
  const otherNormalisation = (mean: readonly number[], std: readonly number[]): Json => {
    const turned = (values: readonly number[]) => (isTurned ? [...values].reverse() : values).map((one) => one * unit);
    return { do_normalize: true, image_mean: turned(mean), image_std: turned(std) };
  };
  const half = [0.5, 0.5, 0.5];
  const changes: readonly (readonly [name: string, change: Json])[] = [
    ["channels-swapped", { channel_order: isTurned ? "RGB" : "BGR" }],
    isRescaled ? ["not-rescaled", { do_rescale: false }] : ["rescaled", { do_rescale: true, rescale_factor: 1 / 255 }],
    ["rescaled-twice", { rescale_factor: factor / 255 }],
    ["mean-not-subtracted", { image_mean: 0 }],
    ["deviation-not-divided", { image_std: 1 }],
    ["not-normalised", { do_normalize: false }],
    ["other-mean", otherNormalisation(PUBLISHED.ImageNet.image_mean, PUBLISHED.ImageNet.image_std)],
    ["pixels-from-minus-1-to-1", otherNormalisation(half, half)],
    ["mean-and-deviation-exchanged", { image_mean: std, image_std: mean }],
    ["mean-of-reversed-channels", { image_mean: reversed(mean), image_std: reversed(std) }],
    ["layout-mixed-up", { data_format: right.layout === "channels_first" ? "channels_last" : "channels_first" }],
  ];
  return changes.flatMap(([name, change]) => {
    const other = parsed({ ...config, ...change });
    // The picture is the right one: only its numbers differ.
    return other === null || other.scale.length !== right.scale.length
      ? []
      : [
          faultOf(
            name,
            (jpeg) => decoded(jpeg, right),
            (picture) => tensorOf(picture, other),
          ),
        ];
  });
}

/** What is wrong before the picture has the model's size. */
function pictureFaults(right: Preprocessing): readonly PipelineFault[] {
  const { library } = right;
  const kernel = right.resize?.kernel ?? "bilinear";
  const resizedBy = (picture: Picture, side: Side, other: ResizeKernel): Promise<Picture> =>
    resizePixels(picture, { width: side.width, height: side.height, kernel: other }, library);
  const resized: Resized = (picture, side) => resizedBy(picture, side, kernel);
  const changed =
    (change: (image: Sharp) => Sharp) =>
    async (picture: Picture, side: Side): Promise<Picture> =>
      resized(await pictureOf(change(imageOf(picture))), side);
  const faults: readonly (readonly [name: string, change: (picture: Picture, side: Side) => Promise<Picture>])[] = [
    ["nearest", async (picture, side) => nearest(picture, side)],
    ["not-antialiased", async (picture, side) => notAntialiased(picture, side)],
    ["other-kernel", (picture, side) => resizedBy(picture, side, kernel === "bilinear" ? "bicubic" : "bilinear")],
    ["flipped-horizontally", changed((image) => image.flop())],
    ["flipped-vertically", changed((image) => image.flip())],
    ["rotated-90", changed((image) => image.rotate(90))],
    ["rotated-180", changed((image) => image.rotate(180))],
    ["rotated-270", changed((image) => image.rotate(270))],
    // sharp flips before it rotates: together they exchange rows and columns.
    ["width-and-height-exchanged", changed((image) => image.flip().rotate(90))],
    ["centre-cropped", (picture, side) => cropped(picture, side, CROPPED, resized)],
    ["cropped-to-shape", (picture, side) => cropped(picture, side, 1, resized)],
    ["letterboxed", (picture, side) => letterboxed(picture, side, resized)],
  ];
  const finish = (picture: Picture) => tensorOf(picture, right);
  const full = faults.map(([name, change]) => {
    const pictureOf = async (jpeg: Uint8Array) => {
      const picture = await decoded(jpeg, { resize: null, library });
      const side = right.resize ?? picture;
      const isOfShape = Math.abs(picture.width / picture.height - side.width / side.height) < 1e-3;
      return isOfShape && OF_OTHER_SHAPES.includes(name) ? decoded(jpeg, right) : change(picture, side);
    };
    return faultOf(name, pictureOf, finish);
  });
  // Devices take pictures as they are stored.
  const turned = async (jpeg: Uint8Array) => {
    const { orientation = 1 } = await sharp(jpeg).metadata();
    if (orientation === 1) return decoded(jpeg, right);
    const picture = await pictureOf(sharp(jpeg, { ignoreIcc: library === "pillow" }).autoOrient());
    return resized(picture, right.resize ?? picture);
  };
  return [...full, faultOf("exif-orientation-applied", turned, finish)];
}

/** Nothing happens to a picture that has the model's shape. */
const OF_OTHER_SHAPES = ["cropped-to-shape", "letterboxed"];

/** As torchvision's and Keras's examples crop: 224 of 256. */
const CROPPED = 224 / 256;

type Rgb = readonly [red: number, green: number, blue: number];
type PixelFault = { readonly name: string; readonly isOfColour: boolean; readonly change: (rgb: Rgb) => Rgb };
const eachChannel = (name: string, change: (value: number) => number): PixelFault => ({
  name,
  isOfColour: false,
  change: ([red, green, blue]) => [change(red), change(green), change(blue)],
});

/** What is wrong pixel by pixel. */
const pixelFaults: readonly PixelFault[] = [
  {
    name: "greyscale",
    isOfColour: true,
    change: (rgb) => {
      const [luma] = ycbcrOf(rgb);
      return [luma, luma, luma];
    },
  },
  {
    name: "chroma-exchanged",
    isOfColour: true,
    change: (rgb) => {
      const [luma, blue, red] = ycbcrOf(rgb);
      return rgbOf([luma, red, blue]);
    },
  },
  { name: "ycbcr-taken-as-rgb", isOfColour: true, change: ycbcrOf },
  eachChannel("limited-range", (value) => 16 + (value * 219) / 255),
  eachChannel("range-expanded-twice", (value) => ((value - 16) * 255) / 219),
  eachChannel("linear-light", (value) => {
    const share = value / 255;
    return 255 * (share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4);
  }),
  eachChannel("gamma-applied-twice", (value) => {
    const share = value / 255;
    return 255 * (share <= 0.0031308 ? 12.92 * share : 1.055 * share ** (1 / 2.4) - 0.055);
  }),
  eachChannel("inverted", (value) => 255 - value),
];

function pixelFault(name: string, right: Preprocessing, change: (rgb: Rgb) => Rgb): PipelineFault {
  const finish = (picture: Picture) => {
    const pixels = new Uint8ClampedArray(picture.pixels.length); // Rounds and clamps.
    for (let i = 0; i < pixels.length; i += 3)
      pixels.set(change(picture.pixels.subarray(i, i + 3) as unknown as Rgb), i);
    return tensorOf({ ...picture, pixels: new Uint8Array(pixels.buffer) }, right);
  };
  return faultOf(name, (jpeg) => decoded(jpeg, right), finish);
}

/** ITU-R BT.601, full range, as JPEG has it. */
function ycbcrOf([red, green, blue]: Rgb): Rgb {
  const luma = 0.299 * red + 0.587 * green + 0.114 * blue;
  return [luma, 128 + 0.564 * (blue - luma), 128 + 0.713 * (red - luma)];
}
const rgbOf = ([luma, blue, red]: Rgb): Rgb => [
  luma + 1.402 * (red - 128),
  luma - 0.344 * (blue - 128) - 0.714 * (red - 128),
  luma + 1.772 * (blue - 128),
];

async function decoded(jpeg: Uint8Array, preprocessing: Pick<Preprocessing, "resize" | "library">): Promise<Picture> {
  const picture = await decodePicture(Buffer.from(jpeg), preprocessing, PIXELS_MAX);
  if (!picture.ok) throw new Failure(picture.code, "ask-a-person", picture.message);
  return picture;
}

function tensorOf({ pixels }: Picture, preprocessing: Preprocessing): Float32Array {
  const normaliser = new Normaliser(preprocessing);
  const channels = normaliser.channels(pixels);
  const tensor = new Float32Array(channels.length);
  normaliser.write(channels, tensor, 0);
  return tensor;
}

/** Bytes from 128 as negative numbers: 256 less. */
function signed(picture: Picture, preprocessing: Preprocessing): Float32Array {
  const { scale, offset, layout } = preprocessing;
  const tensor = tensorOf(picture, preprocessing);
  const area = tensor.length / scale.length;
  return tensor.map((value, i) => {
    const channel = layout === "channels_first" ? Math.floor(i / area) : i % scale.length;
    const step = scale[channel] as number;
    return (value - (offset[channel] as number)) / step > 127.5 ? value - 256 * step : value;
  });
}

function nearest(from: Picture, side: Side): Picture {
  const pixels = new Uint8Array(3 * side.width * side.height);
  for (let y = 0, to = 0; y < side.height; y++) {
    const row = Math.floor((y * from.height) / side.height) * from.width;
    for (let x = 0; x < side.width; x++, to += 3) {
      const at = 3 * (row + Math.floor((x * from.width) / side.width));
      pixels.set(from.pixels.subarray(at, at + 3), to);
    }
  }
  return { pixels, ...side };
}

/** Bilinear between the four nearest pixels, however much smaller the picture becomes: OpenCV's INTER_LINEAR. */
function notAntialiased(from: Picture, side: Side): Picture {
  const pixels = new Uint8ClampedArray(3 * side.width * side.height);
  const [columns, rows] = [tapsOf(from.width, side.width), tapsOf(from.height, side.height)];
  let to = 0;
  for (const [y0, y1, down] of rows) {
    for (const [x0, x1, across] of columns) {
      for (let channel = 0; channel < 3; channel++) {
        const at = (x: number, y: number) => from.pixels[3 * (y * from.width + x) + channel] as number;
        const upper = at(x0, y0) * (1 - across) + at(x1, y0) * across;
        const lower = at(x0, y1) * (1 - across) + at(x1, y1) * across;
        pixels[to++] = upper * (1 - down) + lower * down;
      }
    }
  }
  return { pixels: new Uint8Array(pixels.buffer), ...side };
}

/** Of each new place: the two places that it is between, and how far from the first. */
function tapsOf(from: number, to: number): readonly (readonly [first: number, second: number, share: number])[] {
  return Array.from({ length: to }, (_, i) => {
    const place = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    const first = Math.min(from - 1, Math.floor(place));
    return [first, Math.min(from - 1, first + 1), place - first] as const;
  });
}

/** As the package resizes. */
type Resized = (picture: Picture, side: Side) => Promise<Picture>;

/** The centre of the model's shape, of which so much is left. */
async function cropped(picture: Picture, side: Side, share: number, resized: Resized): Promise<Picture> {
  const fit = Math.min(picture.width / side.width, picture.height / side.height) * share;
  const width = Math.max(1, Math.round(fit * side.width));
  const height = Math.max(1, Math.round(fit * side.height));
  const [left, top] = [Math.floor((picture.width - width) / 2), Math.floor((picture.height - height) / 2)];
  const part = await pictureOf(imageOf(picture).extract({ left, top, width, height }));
  return resized(part, side);
}

/** The whole picture in its own shape, with black beside it. */
async function letterboxed(picture: Picture, side: Side, resized: Resized): Promise<Picture> {
  const fit = Math.min(side.width / picture.width, side.height / picture.height);
  const width = Math.max(1, Math.round(fit * picture.width));
  const height = Math.max(1, Math.round(fit * picture.height));
  const part = await resized(picture, { width, height });
  const [left, top] = [Math.floor((side.width - width) / 2), Math.floor((side.height - height) / 2)];
  const [right, bottom] = [side.width - width - left, side.height - height - top];
  return pictureOf(imageOf(part).extend({ left, top, right, bottom, background: "black" }));
}

const imageOf = ({ pixels, width, height }: Picture): Sharp => sharp(pixels, { raw: { width, height, channels: 3 } });

async function pictureOf(image: Sharp): Promise<Picture> {
  const { data, info } = await image.toColourspace("srgb").raw().toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  // A grey JPEG decodes to one channel.
  const pixels =
    channels === 3
      ? data
      : Uint8Array.from({ length: 3 * width * height }, (_, i) => data[Math.floor(i / 3)] as number);
  return { pixels, width, height };
}

/** Null: the file has no such key to get wrong. */
function parsed(config: Json): Preprocessing | null {
  try {
    return parsePreprocessing(config);
  } catch {
    return null;
  }
}

const reversed = (value: unknown): unknown => (Array.isArray(value) ? [...value].reverse() : value);
