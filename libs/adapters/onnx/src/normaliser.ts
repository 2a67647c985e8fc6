/** Converts resized pixels to the model's input, and computes the picture's statistics for drift sketches. */
import {
  type ChannelOrder,
  channelsOf,
  frameGrid,
  type PictureStatistics,
  type Preprocessing,
} from "@tributary/inference";

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

/** `rgb`: the resized picture. */
export function pictureStatistics(
  rgb: Uint8Array,
  width: number,
  height: number,
  jpeg: Pick<PictureStatistics, "bitsPerPixel" | "encoder" | "quality">,
): PictureStatistics {
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
    grid: frameGrid(rgb, width, height),
    bitsPerPixel: jpeg.bitsPerPixel,
    encoder: jpeg.encoder,
    quality: jpeg.quality,
  };
}
