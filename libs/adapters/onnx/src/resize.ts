/** Resizes pictures as Pillow does, bit for bit: antialiased and separable, in fixed point of 22 bits, rounded to 8 bits between the
 * two passes (`Image.resize` of Pillow 13, without `box` and `reducing_gap`). Training programs resize with Pillow, and a device that
 * resizes otherwise feeds its model what it was not trained on. Pillow before 13 always passes horizontally first: where the height
 * shrinks by more than twice as many pixels as the width, its values may differ by their rounding.
 *
 * R1. Weights of a pass depend on both lengths and the kernel alone. The last few tables are kept, as cameras seldom change their size,
 *     and so is the space between the passes, up to a bound. */
import type { ResizeKernel } from "@tributary/inference";

/** Interleaved RGB. */
export type Pixels = { readonly pixels: Uint8Array; readonly width: number; readonly height: number };
type Side = { readonly width: number; readonly height: number };

const CHANNELS = 3;
const PRECISION_BITS = 32 - 8 - 2;
const HALF = 1 << (PRECISION_BITS - 1);
const TABLES_MAX = 16;
const SPARE_BYTES_MAX = 8 << 20;
/** Looked up once: a test's global object is slow to search. */
const { imul } = Math;

type Filter = { readonly support: number; readonly weight: (x: number) => number };
const FILTERS: Readonly<Record<Exclude<ResizeKernel, "nearest">, Filter>> = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: { support: 1, weight: hamming },
  bicubic: { support: 2, weight: bicubic },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

export function resizeAsPillow(picture: Pixels, side: Side, kernel: ResizeKernel): Pixels {
  const { width, height } = side;
  const [isWider, isHigher] = [width !== picture.width, height !== picture.height];
  if (!isWider && !isHigher) return picture;
  if (kernel === "nearest") return nearest(picture, side);
  const columns = () => tapsOf(kernel, picture.width, width);
  const rows = () => tapsOf(kernel, picture.height, height);
  if (!isHigher) return horizontal(picture, width, columns(), new Uint8ClampedArray(width * height * CHANNELS));
  if (!isWider) return vertical(picture, height, rows(), new Uint8ClampedArray(width * height * CHANNELS));
  const out = new Uint8ClampedArray(width * height * CHANNELS);
  const shrinksBy = picture.height - height;
  if (shrinksBy > 0 && shrinksBy > 2 * (picture.width - width)) {
    const between = vertical(picture, height, rows(), spareOf(picture.width * height * CHANNELS));
    return horizontal(between, width, columns(), out);
  }
  const between = horizontal(picture, width, columns(), spareOf(width * picture.height * CHANNELS));
  return vertical(between, height, rows(), out);
}

/** Where each place of the result takes its values from. */
type Taps = {
  /** Places in `weights` for each place of the result. */
  readonly stride: number;
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** In fixed point. */
  readonly weights: Int32Array;
};

const tables = new Map<string, Taps>();

function tapsOf(kernel: Exclude<ResizeKernel, "nearest">, from: number, to: number): Taps {
  const key = `${kernel} ${from} ${to}`;
  const taps = tables.get(key) ?? computedTaps(FILTERS[kernel], from, to);
  // The oldest is the first of a map.
  tables.delete(key);
  tables.set(key, taps);
  for (const oldest of tables.keys()) {
    if (tables.size <= TABLES_MAX) break;
    tables.delete(oldest);
  }
  return taps;
}

function computedTaps({ support: reach, weight }: Filter, from: number, to: number): Taps {
  const scale = from / to;
  const filterScale = Math.max(1, scale);
  const support = reach * filterScale;
  const stride = Math.ceil(support) * 2 + 1;
  const inverse = 1 / filterScale;
  const [first, count] = [new Int32Array(to), new Int32Array(to)];
  const weights = new Int32Array(to * stride);
  const own = new Float64Array(stride);
  for (let place = 0; place < to; place++) {
    const centre = (place + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - support + 0.5));
    const length = Math.min(from, Math.trunc(centre + support + 0.5)) - low;
    let sum = 0;
    for (let i = 0; i < length; i++) {
      own[i] = weight((i + low - centre + 0.5) * inverse);
      sum += own[i] as number;
    }
    first[place] = low;
    count[place] = length;
    for (let i = 0; i < length; i++) {
      const share = sum === 0 ? (own[i] as number) : (own[i] as number) / sum;
      weights[place * stride + i] = Math.trunc((share < 0 ? -0.5 : 0.5) + share * (1 << PRECISION_BITS));
    }
  }
  return { stride, first, count, weights };
}

let spare = new Uint8ClampedArray(0);

/** Is overwritten by the next picture. */
function spareOf(length: number): Uint8ClampedArray {
  if (spare.length >= length) return spare;
  const longer = new Uint8ClampedArray(length);
  if (length <= SPARE_BYTES_MAX) spare = longer;
  return longer;
}

function horizontal(
  { pixels, width: from, height }: Pixels,
  width: number,
  taps: Taps,
  out: Uint8ClampedArray,
): Pixels {
  const { stride, first, count, weights } = taps;
  let to = 0;
  for (let y = 0; y < height; y++) {
    const row = y * from;
    for (let x = 0; x < width; x++) {
      const start = CHANNELS * (row + (first[x] as number));
      weigh(pixels, start, CHANNELS, weights, x * stride, count[x] as number, out, to);
      to += CHANNELS;
    }
  }
  return { pixels: bytesOf(out, to), width, height };
}

function vertical({ pixels, width }: Pixels, height: number, taps: Taps, out: Uint8ClampedArray): Pixels {
  const { stride, first, count, weights } = taps;
  const row = CHANNELS * width;
  let to = 0;
  for (let y = 0; y < height; y++) {
    const start = row * (first[y] as number);
    for (let x = 0; x < row; x += CHANNELS) {
      weigh(pixels, start + x, row, weights, y * stride, count[y] as number, out, to);
      to += CHANNELS;
    }
  }
  return { pixels: bytesOf(out, to), width, height };
}

/** Writes the weighted sum of `count` pixels, `step` bytes apart. Products of 8 and 23 bits fit into 32; the array clamps. */
function weigh(
  pixels: Uint8Array,
  start: number,
  step: number,
  weights: Int32Array,
  tap: number,
  count: number,
  out: Uint8ClampedArray,
  to: number,
): void {
  let [red, green, blue] = [HALF, HALF, HALF];
  for (let i = 0, at = start; i < count; i++, at += step) {
    const weight = weights[tap + i] as number;
    red = (red + imul(pixels[at] as number, weight)) | 0;
    green = (green + imul(pixels[at + 1] as number, weight)) | 0;
    blue = (blue + imul(pixels[at + 2] as number, weight)) | 0;
  }
  out[to] = red >> PRECISION_BITS;
  out[to + 1] = green >> PRECISION_BITS;
  out[to + 2] = blue >> PRECISION_BITS;
}

const bytesOf = ({ buffer }: Uint8ClampedArray, length: number) => new Uint8Array(buffer, 0, length);

/** Takes the pixel in the middle of each step. Places are added up, as Pillow does it: a product may round to another pixel. */
function nearest({ pixels, width: from, height: rows }: Pixels, { width, height }: Side): Pixels {
  const out = new Uint8Array(width * height * CHANNELS);
  const places = (size: number, count: number) => {
    const step = size / count;
    let place = step * 0.5;
    return Int32Array.from({ length: count }, () => {
      const whole = Math.min(size - 1, Math.trunc(place));
      place += step;
      return whole;
    });
  };
  const columns = places(from, width);
  let to = 0;
  for (const y of places(rows, height)) {
    for (const x of columns) {
      const at = CHANNELS * (y * from + x);
      out[to++] = pixels[at] as number;
      out[to++] = pixels[at + 1] as number;
      out[to++] = pixels[at + 2] as number;
    }
  }
  return { pixels: out, width, height };
}

/** With the constants of Pillow, which are single floats. */
function hamming(x: number): number {
  if (x === 0) return 1;
  if (Math.abs(x) >= 1) return 0;
  const angle = Math.abs(x) * Math.PI;
  return (Math.sin(angle) / angle) * (Math.fround(0.54) + Math.fround(0.46) * Math.cos(angle));
}

function bicubic(signed: number): number {
  const a = -0.5;
  const x = Math.abs(signed);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

function sinc(x: number): number {
  if (x === 0) return 1;
  return Math.sin(x * Math.PI) / (x * Math.PI);
}
