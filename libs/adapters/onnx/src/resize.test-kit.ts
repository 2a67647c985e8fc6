/** The pictures of fixtures/pillow.py. */
import { createHash } from "node:crypto";
import type { ResizeKernel } from "@tributary/inference";
import { resizePixels } from "./preprocess.ts";
import type { Pixels } from "./resize.ts";

export type ResizeCase = readonly [
  width: number,
  height: number,
  toWidth: number,
  toHeight: number,
  resample: number,
  seed: number,
];

const { imul } = Math;
/** By Pillow's numbers. */
const KERNELS: readonly ResizeKernel[] = ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"];

export const hashOf = (pixels: Uint8Array): string => createHash("sha256").update(pixels).digest("hex").slice(0, 16);

export async function resizedHash([width, height, toWidth, toHeight, resample, seed]: ResizeCase): Promise<string> {
  const resize = { width: toWidth, height: toHeight, kernel: KERNELS[resample] as ResizeKernel };
  const resized = await resizePixels(pictureOf(width, height, seed), resize, "pillow");
  return hashOf(resized.pixels);
}

function pictureOf(width: number, height: number, seed: number): Pixels {
  const pixels = new Uint8Array(3 * width * height);
  for (let i = 0; i < pixels.length; i++) {
    const value = (imul(i + seed, 2_654_435_761) >>> 13) & 255;
    pixels[i] = seed % 2 === 0 ? value : value < 128 ? 0 : 255;
  }
  return { pixels, width, height };
}
