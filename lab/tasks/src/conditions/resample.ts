// Blur, and pictures seen from elsewhere. Lengths are in pixels here, unless a comment names a share of the side.
import { type Picture, sideOf, withPixels } from "./picture.ts";

const { abs, ceil, floor, max, min, round } = Math;

/** A Gaussian blur, as three box blurs. */
export function blurred(picture: Picture, sigma: number): Picture {
  return boxBlurred(picture, (Math.sqrt(4 * sigma * sigma + 1) - 1) / 2, 3);
}

function boxBlurred(picture: Picture, radius: number, passes: number): Picture {
  const { width, height, channels } = picture;
  let from = Float32Array.from(picture.data);
  let to = new Float32Array(from.length);
  const swap = () => {
    [from, to] = [to, from];
  };
  for (let pass = 0; pass < passes; pass++) {
    for (let line = 0; line < height; line++)
      for (let channel = 0; channel < channels; channel++)
        boxLine(from, to, { start: line * width * channels + channel, step: channels, count: width, radius });
    swap();
    for (let start = 0; start < width * channels; start++)
      boxLine(from, to, { start, step: width * channels, count: height, radius });
    swap();
  }
  return withPixels(picture, Uint8ClampedArray.from(from));
}

type Line = { readonly start: number; readonly step: number; readonly count: number; readonly radius: number };

/** A running mean; a radius between two whole ones takes a share of the outermost values. */
function boxLine(from: Float32Array, to: Float32Array, { start, step, count, radius }: Line): void {
  const whole = floor(radius);
  const share = radius - whole;
  const norm = 1 / (2 * radius + 1);
  const last = count - 1;
  const at = (i: number) => from[start + step * max(0, min(last, i))] as number;
  let sum = 0;
  for (let i = -whole; i <= whole; i++) sum += at(i);
  for (let i = 0; i < count; i++) {
    to[start + step * i] = (sum + share * (at(i - whole - 1) + at(i + whole + 1))) * norm;
    sum += at(i + whole + 1) - at(i - whole);
  }
}

/** The mean of the picture moved along a way of (`dx`, `dy`) pixels. */
export function motionBlurred(picture: Picture, dx: number, dy: number): Picture {
  const { width, height, channels, data } = picture;
  const taps = min(16, max(2, ceil(max(abs(dx), abs(dy))) + 1));
  const sums = new Float32Array(data.length);
  for (let tap = 0; tap < taps; tap++) {
    const mx = round(dx * (tap / (taps - 1) - 0.5));
    const my = round(dy * (tap / (taps - 1) - 0.5));
    for (let y = 0, i = 0; y < height; y++) {
      const row = min(height - 1, max(0, y + my)) * width;
      for (let x = 0; x < width; x++) {
        let j = (row + min(width - 1, max(0, x + mx))) * channels;
        for (const end = i + channels; i < end; i++, j++) sums[i] = (sums[i] as number) + (data[j] as number);
      }
    }
  }
  for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] as number) / taps;
  return withPixels(picture, Uint8ClampedArray.from(sums));
}

/**
 * Where a pixel of the new picture is in the old one: a homography by rows. Both are counted from the middle in shares of the shorter
 * side, so that [1,0,0, 0,1,0, 0,0,1] changes nothing.
 */
export type View = readonly [number, number, number, number, number, number, number, number, number];
/** What is outside the old picture: the scene goes on (mirrored), or nothing is there (black). */
export type Outside = "mirror" | "black";

export function viewed(picture: Picture, view: View, outside: Outside): Picture {
  const { width, height, channels, data } = picture;
  const side = sideOf(picture);
  const [a, b, c, d, e, f, g, h, k] = view;
  const out = new Uint8ClampedArray(data.length);
  for (let y = 0, i = 0; y < height; y++) {
    const v = (y + 0.5 - height / 2) / side;
    for (let x = 0; x < width; x++, i += channels) {
      const u = (x + 0.5 - width / 2) / side;
      const scale = side / (g * u + h * v + k);
      const sx = (a * u + b * v + c) * scale + width / 2 - 0.5;
      const sy = (d * u + e * v + f) * scale + height / 2 - 0.5;
      if (outside === "black" && (sx < -0.5 || sy < -0.5 || sx > width - 0.5 || sy > height - 0.5)) continue;
      sampleInto(out, i, picture, sx, sy);
    }
  }
  return withPixels(picture, out);
}

/** Each pixel from (`dx`, `dy`) beside it. */
export function displaced(picture: Picture, dx: Float32Array, dy: Float32Array): Picture {
  const { width, height, channels } = picture;
  const out = new Uint8ClampedArray(picture.data.length);
  for (let y = 0, pixel = 0; y < height; y++)
    for (let x = 0; x < width; x++, pixel++)
      sampleInto(out, pixel * channels, picture, x + (dx[pixel] as number), y + (dy[pixel] as number));
  return withPixels(picture, out);
}

/** Writes the bilinear value at (x, y), mirrored at the edges, to `out` from `i` on. */
export function sampleInto(out: Uint8ClampedArray, i: number, picture: Picture, x: number, y: number): void {
  const { width, height, channels, data } = picture;
  const left = floor(x);
  const top = floor(y);
  const fx = x - left;
  const fy = y - top;
  const x0 = mirrored(left, width) * channels;
  const x1 = mirrored(left + 1, width) * channels;
  const y0 = mirrored(top, height) * width * channels;
  const y1 = mirrored(top + 1, height) * width * channels;
  for (let channel = 0; channel < channels; channel++) {
    const upper = (data[y0 + x0 + channel] as number) * (1 - fx) + (data[y0 + x1 + channel] as number) * fx;
    const lower = (data[y1 + x0 + channel] as number) * (1 - fx) + (data[y1 + x1 + channel] as number) * fx;
    out[i + channel] = upper * (1 - fy) + lower * fy;
  }
}

function mirrored(index: number, count: number): number {
  if (index >= 0 && index < count) return index;
  const period = 2 * count;
  const within = ((index % period) + period) % period;
  return within < count ? within : period - 1 - within;
}

/** The view of a picture that is moved, turned (radians) and enlarged. */
export function moved(x: number, y: number, turn: number, zoom: number): View {
  const cos = Math.cos(turn) / zoom;
  const sin = Math.sin(turn) / zoom;
  return [cos, -sin, x, sin, cos, y, 0, 0, 1];
}
