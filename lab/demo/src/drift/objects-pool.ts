/** What the cameras of `demo -- drift` see: photos as they are and ever darker, and warm scenes, with red and blue swapped. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { SampleFrame } from "@tributary/testing";
import sharp, { type Sharp } from "sharp";
import { type View, writePool } from "../photos.ts";
import { CLEAR } from "./story.ts";

/** From daylight to the darkest: what is left of the brightness. */
const DUSK = [0.85, 0.7, 0.55, 0.45, 0.35];
const PHOTOS = 1_000;
/** By how much red exceeds blue in a warm scene, as a share of the full scale. */
const WARM = 0.05;

export const WARM_SCENE = "warm";
export const WARM_SWAPPED = "warm-channels-swapped";
/** From the first to the darkest. */
export const DUSK_VIEWS: readonly string[] = DUSK.map((brightness) => `dusk-${Math.round(100 * brightness)}`);

/** Every view is compressed in the same way, so that compression shows nothing. */
const encoded = (picture: Sharp): Promise<Buffer> =>
  picture.jpeg({ quality: 90, chromaSubsampling: "4:2:0" }).toBuffer();

const views: Readonly<Record<string, View>> = {
  [CLEAR]: (jpeg) => encoded(sharp(jpeg)),
  [WARM_SCENE]: async (jpeg) => ((await isWarm(jpeg)) ? encoded(sharp(jpeg)) : null),
  [WARM_SWAPPED]: async (jpeg) => ((await isWarm(jpeg)) ? encoded(await swapped(jpeg)) : null),
  ...Object.fromEntries(
    DUSK.map((brightness, i) => [DUSK_VIEWS[i], (jpeg: Buffer) => encoded(sharp(jpeg).linear(brightness, 0))]),
  ),
};

/** Writes it where it is not yet; `cameras`: photos that nothing else uses. */
export async function prepareDriftPool(dir: string, cameras: () => Promise<readonly SampleFrame[]>): Promise<string> {
  if (!existsSync(join(dir, "pool.json"))) await writePool(dir, (await cameras()).slice(0, PHOTOS), views);
  return dir;
}

async function isWarm(jpeg: Buffer): Promise<boolean> {
  const mean = await sharp(jpeg).resize(1, 1, { kernel: "linear" }).raw().toBuffer();
  return (mean[0] as number) - (mean[2] as number) > 255 * WARM;
}

async function swapped(jpeg: Buffer): Promise<Sharp> {
  const { data, info } = await sharp(jpeg).raw().toBuffer({ resolveWithObject: true });
  for (let i = 0; i < data.length; i += info.channels) {
    const red = data[i] as number;
    data[i] = data[i + 2] as number;
    data[i + 2] = red;
  }
  return sharp(data, { raw: info });
}
