/** From JPEG bytes to the model's input, in the child: decode, resize, normalise, exactly as the package says.
 *
 * D1. A picture is judged by its header before a byte of it is decoded: its size cannot fill the memory (G9).
 * D2. A damaged picture is this picture's fault: a result, never an exception; a truncated one is damaged too.
 * D3. Decoding is at full size (`fastShrinkOnLoad: false`), which halves the difference to other implementations. */
import {
  type ChannelOrder,
  channelsOf,
  jpegHeader,
  type PictureStatistics,
  type Preprocessing,
  type ResizeKernel,
} from "@tributary/inference";
import sharp, { type Sharp } from "sharp";

export type Picture =
  | { readonly ok: true; readonly pixels: Uint8Array; readonly width: number; readonly height: number }
  | { readonly ok: false; readonly code: string; readonly message: string };

const SHARP_KERNELS = {
  bilinear: "linear",
  bicubic: "cubic",
  lanczos: "lanczos3",
} as const satisfies Record<ResizeKernel, string>;

/** Resized pixels, interleaved RGB. */
export async function decodePicture(jpeg: Buffer, preprocessing: Preprocessing, pixelsMax: number): Promise<Picture> {
  const header = jpegHeader(jpeg); // D1
  if (header === null) return { ok: false, code: "image-undecodable", message: "not a JPEG, or cut before its header" };
  const pixels = header.width * header.height;
  if (pixels > pixelsMax) {
    const message = `${header.width} x ${header.height} pixels, at most ${pixelsMax} in all`;
    return { ok: false, code: "image-too-large", message };
  }
  try {
    let pipeline: Sharp = sharp(jpeg, { failOn: "warning", limitInputPixels: pixelsMax, sequentialRead: true });
    const resize = preprocessing.resize;
    if (resize !== null && (resize.width !== header.width || resize.height !== header.height)) {
      const kernel = SHARP_KERNELS[resize.kernel];
      pipeline = pipeline.resize(resize.width, resize.height, { kernel, fit: "fill", fastShrinkOnLoad: false }); // D3
    }
    const width = resize?.width ?? header.width;
    const height = resize?.height ?? header.height;
    const raw = await pipeline.toColourspace("srgb").raw().toBuffer();
    return { ok: true, pixels: threeChannels(raw, width * height), width, height };
  } catch (error) {
    // D2
    const message = error instanceof Error ? error.message.split("\n", 1)[0] : String(error);
    return { ok: false, code: "image-undecodable", message: message?.slice(0, 200) ?? "undecodable" };
  }
}

/** Writes pictures into tensors; made once per model. */
export class Normaliser {
  readonly #tables: readonly Float32Array[];
  readonly #isChannelsFirst: boolean;
  readonly #order: ChannelOrder;

  constructor(preprocessing: Preprocessing) {
    this.#isChannelsFirst = preprocessing.layout === "channels_first";
    this.#order = preprocessing.channelOrder;
    this.#tables = Array.from({ length: channelsOf(preprocessing) }, (_, channel) => {
      const scale = preprocessing.scale[channel] as number;
      const offset = preprocessing.offset[channel] as number;
      return Float32Array.from({ length: 256 }, (_unused, value) => value * scale + offset);
    });
  }

  /** The picture's channels in the model's order, interleaved. */
  channels(rgb: Uint8Array): Uint8Array {
    if (this.#order === "RGB") return rgb;
    const count = rgb.length / 3;
    if (this.#order === "BGR") {
      const bgr = new Uint8Array(rgb.length);
      for (let i = 0; i < rgb.length; i += 3) {
        bgr[i] = rgb[i + 2] as number;
        bgr[i + 1] = rgb[i + 1] as number;
        bgr[i + 2] = rgb[i] as number;
      }
      return bgr;
    }
    const grey = new Uint8Array(count);
    for (let i = 0, j = 0; i < count; i++, j += 3) {
      // ITU-R 601-2 luma in fixed point, as Pillow converts to "L".
      const luma = 19595 * (rgb[j] as number) + 38470 * (rgb[j + 1] as number) + 7471 * (rgb[j + 2] as number);
      grey[i] = (luma + 0x8000) >> 16;
    }
    return grey;
  }

  /** Fills `tensor` from `at` with the normalised picture (`channels` of it). */
  write(channels: Uint8Array, tensor: Float32Array, at: number): void {
    const count = this.#tables.length;
    const area = channels.length / count;
    for (let channel = 0; channel < count; channel++) {
      const table = this.#tables[channel] as Float32Array;
      const step = this.#isChannelsFirst ? 1 : count;
      let to = this.#isChannelsFirst ? at + channel * area : at + channel;
      for (let from = channel; from < channels.length; from += count, to += step) {
        tensor[to] = table[channels[from] as number] as number;
      }
    }
  }
}

/** Means and sds of the resized RGB picture on [0, 1]. */
export function pictureStatistics(rgb: Uint8Array): PictureStatistics {
  let r = 0;
  let g = 0;
  let b = 0;
  let rr = 0;
  let gg = 0;
  let bb = 0;
  for (let i = 0; i < rgb.length; i += 3) {
    const red = rgb[i] as number;
    const green = rgb[i + 1] as number;
    const blue = rgb[i + 2] as number;
    r += red;
    g += green;
    b += blue;
    rr += red * red;
    gg += green * green;
    bb += blue * blue;
  }
  const n = rgb.length / 3;
  const sd = (sum: number, squares: number) => Math.sqrt(Math.max(0, squares / n - (sum / n) ** 2)) / 255;
  const means = [r / n / 255, g / n / 255, b / n / 255] as const;
  return {
    channelMeans: means,
    channelSds: [sd(r, rr), sd(g, gg), sd(b, bb)],
    luminance: 0.299 * means[0] + 0.587 * means[1] + 0.114 * means[2],
  };
}

/** A grey JPEG decodes to one channel; one with alpha does not exist, but a fourth channel is dropped all the same. */
function threeChannels(raw: Buffer, area: number): Uint8Array {
  const count = raw.length / area;
  if (count === 3) return raw;
  const rgb = new Uint8Array(area * 3);
  for (let i = 0; i < area; i++) {
    for (let channel = 0; channel < 3; channel++) {
      rgb[i * 3 + channel] = raw[i * count + (count < 3 ? 0 : channel)] as number;
    }
  }
  return rgb;
}
