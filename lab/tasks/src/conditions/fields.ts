// What faults and weather are drawn from: seeded numbers, noise in the plane, and masks of lines and blobs (one share of 0 to 1 by pixel).
import { hashOf, type Random, seededRandom } from "@tributary/kernel";
import { inChannels, type Picture, sideOf, smoothStep, unit, withPixels } from "./picture.ts";

const { abs, ceil, floor, hypot, imul, max, min, round } = Math;

/** Random numbers of their own for each list of seeds. */
export function randomOf(...seeds: readonly (number | string)[]): Random {
  return seededRandom(seedOf(...seeds));
}

export function seedOf(...seeds: readonly (number | string)[]): number {
  let h = 0x9e3779b9;
  for (const seed of seeds)
    if (typeof seed === "string") h = mixed(h, hashOf(seed));
    else h = mixed(mixed(h, floor(seed)), floor(seed / 0x1_0000_0000));
  return h;
}

function mixed(h: number, value: number): number {
  let z = imul(h ^ value, 0x85ebca6b);
  z = imul(z ^ (z >>> 15), 0xc2b2ae35);
  return (z ^ (z >>> 13)) >>> 0;
}

/** A number from -1 to 1. */
export function signed(random: Random): number {
  return 2 * random() - 1;
}

/** Smooth noise of 0 to 1 whose bumps are 1 / `cells` of the shorter side; `x` and `y` move it, in bumps. */
export function noise(picture: Picture, seed: number, cells: number, x = 0, y = 0): Float32Array {
  const { width, height } = picture;
  const step = cells / sideOf(picture);
  const fromX = floor(x);
  const fromY = floor(y);
  const columns = ceil(width * step) + 3;
  const lattice = new Float32Array(columns * (ceil(height * step) + 3));
  for (let i = 0; i < lattice.length; i++)
    lattice[i] = mixed(mixed(seed, fromX + (i % columns)), fromY + floor(i / columns)) / 0x1_0000_0000;
  const out = new Float32Array(width * height);
  for (let row = 0, i = 0; row < height; row++) {
    const v = row * step + y - fromY;
    const top = floor(v);
    const fv = (v - top) * (v - top) * (3 - 2 * (v - top));
    for (let column = 0; column < width; column++, i++) {
      const u = column * step + x - fromX;
      const left = floor(u);
      const fu = (u - left) * (u - left) * (3 - 2 * (u - left));
      const j = top * columns + left;
      const upper = (lattice[j] as number) * (1 - fu) + (lattice[j + 1] as number) * fu;
      const lower = (lattice[j + columns] as number) * (1 - fu) + (lattice[j + columns + 1] as number) * fu;
      out[i] = upper * (1 - fv) + lower * fv;
    }
  }
  return out;
}

/** Noise of large and of smaller bumps. */
export function clouds(picture: Picture, seed: number, cells: number, x = 0, y = 0): Float32Array {
  const out = noise(picture, seed, cells, x, y);
  const finer = noise(picture, seed + 1, cells * 2.3, x * 2.3, y * 2.3);
  const finest = noise(picture, seed + 2, cells * 5.1, x * 5.1, y * 5.1);
  for (let i = 0; i < out.length; i++)
    out[i] = 0.55 * (out[i] as number) + 0.3 * (finer[i] as number) + 0.15 * (finest[i] as number);
  return out;
}

export function emptyMask({ width, height }: Picture): Float32Array<ArrayBuffer> {
  return new Float32Array(width * height);
}

/** One value by pixel, of its place counted from the middle in shares of the shorter side. */
export function maskOf(picture: Picture, at: (u: number, v: number, pixel: number) => number): Float32Array {
  const { width, height } = picture;
  const side = sideOf(picture);
  const out = emptyMask(picture);
  for (let y = 0, pixel = 0; y < height; y++) {
    const v = (y + 0.5 - height / 2) / side;
    for (let x = 0; x < width; x++, pixel++) out[pixel] = at((x + 0.5 - width / 2) / side, v, pixel);
  }
  return out;
}

export type Point = readonly [x: number, y: number];

/** Draws a line from one point to another, all in pixels. A line thinner than a pixel is drawn fainter. */
export function drawLine(
  mask: Float32Array,
  picture: Picture,
  from: Point,
  to: Point,
  thick: number,
  opacity = 1,
): void {
  const { width, height } = picture;
  const steep = abs(to[1] - from[1]) > abs(to[0] - from[0]);
  const along = steep ? 1 : 0;
  const [[a0, c0], [a1, c1]] = [from, to]
    .map((point): Point => [point[along] as number, point[1 - along] as number])
    .sort((p, q) => p[0] - q[0]) as [Point, Point];
  const slope = a1 > a0 ? (c1 - c0) / (a1 - a0) : 0;
  const half = (max(thick, 1) * hypot(1, slope)) / 2;
  const most = opacity * min(1, thick);
  const [alongMax, acrossMax] = steep ? [height, width] : [width, height];
  const [alongStep, acrossStep] = steep ? [width, 1] : [1, width];
  for (let a = max(0, round(a0)); a <= min(alongMax - 1, round(a1)); a++) {
    const c = c0 + slope * (a - a0);
    for (let at = max(0, floor(c - half)); at <= min(acrossMax - 1, ceil(c + half)); at++) {
      const share = most * unit(half + 0.5 - abs(at - c));
      const i = a * alongStep + at * acrossStep;
      if (share > (mask[i] as number)) mask[i] = share;
    }
  }
}

/** Draws a disc in pixels; `soft`: the share of its radius over which the edge fades. */
export function drawDisc(mask: Float32Array, picture: Picture, at: Point, radius: number, soft = 0, opacity = 1): void {
  const { width, height } = picture;
  const [cx, cy] = at;
  const fade = max(0.5, radius * soft);
  const outer = radius + 0.5;
  for (let y = max(0, ceil(cy - outer)); y <= min(height - 1, floor(cy + outer)); y++)
    for (let x = max(0, ceil(cx - outer)); x <= min(width - 1, floor(cx + outer)); x++) {
      const share = opacity * smoothStep(outer, outer - 2 * fade, hypot(x - cx, y - cy));
      const i = y * width + x;
      if (share > (mask[i] as number)) mask[i] = share;
    }
}

/** Normally distributed numbers, drawn once: a frame reads a row of them from a place of its own. */
const NORMALS = (() => {
  const random = seededRandom(20_260);
  return Float32Array.from(
    { length: 1 << 16 },
    () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
  );
})();

/** A source of normally distributed numbers. */
export function normals(random: Random): () => number {
  let at = floor(random() * NORMALS.length);
  return () => {
    at = (at + 1) & (NORMALS.length - 1);
    return NORMALS[at] as number;
  };
}

/** Adds noise of a sensor: `sigma` levels by value, and `blotches` levels in grains that survive a resize to a small input. */
export function grained(picture: Picture, random: Random, sigma: number, blotches = 0): Picture {
  const { width, height, channels, data } = picture;
  const out = new Uint8ClampedArray(data.length);
  const grain = max(1, round(sideOf(picture) / 48));
  const columns = ceil(width / grain);
  const next = normals(random);
  const coarse = Float32Array.from({ length: blotches > 0 ? columns * ceil(height / grain) * channels : 0 }, next);
  for (let y = 0, i = 0; y < height; y++) {
    // A row starts at a place of its own, so that the numbers, which repeat, form no pattern.
    const fine = normals(random);
    const row = floor(y / grain) * columns;
    for (let x = 0; x < width; x++) {
      const j = (row + floor(x / grain)) * channels;
      for (let channel = 0; channel < channels; channel++, i++)
        out[i] = (data[i] as number) + sigma * fine() + (blotches > 0 ? blotches * (coarse[j + channel] as number) : 0);
    }
  }
  return withPixels(picture, out);
}

/** The mean colour along the border, by channel. */
export function borderColour(picture: Picture): readonly number[] {
  const { width, height, channels, data } = picture;
  const sums = inChannels(picture, [0, 0, 0]).map(() => 0);
  let count = 0;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x += y === 0 || y === height - 1 ? 1 : max(1, width - 1), count++)
      for (let channel = 0; channel < channels; channel++)
        sums[channel] = (sums[channel] as number) + (data[(y * width + x) * channels + channel] as number);
  return sums.map((sum) => sum / count);
}
