/** What a camera of the site sees, of photos that are published as 32 x 32 pixels. A view is applied to the scene, before the camera
 * makes its picture of it; chance comes from a seed and the photo's place alone. */
import { type Random, seededRandom } from "@tributary/kernel";
import { normal } from "@tributary/testing/fleet";
import sharp from "sharp";
import { PHOTO_SIDE, type RawPhoto } from "./published-photos.ts";

/** The side of the sample cameras' pictures. */
const FRAME_SIDE = 160;

/** Evening: a photo keeps 30 to 60 % of its light, looks bluish, and the sensor's noise shows. */
const DUSK = { exposureMin: 0.3, exposureMax: 0.6, tint: [0.88, 0.95, 1.1], noise: 0.01 } as const;
/** Radius of the blur in pixels of the photo: a lens out of focus. */
const DEFOCUS_SIGMA = 0.6;

export const siteViews = ["clear", "dusk", "defocus"] as const;
export type SiteView = (typeof siteViews)[number];

/** The camera's JPEG: bicubic to 160 x 160, quality 90, 4:2:0, as the sample cameras deliver it. */
export async function siteFrame(photo: RawPhoto, view: SiteView, place: number, seed: number): Promise<Buffer> {
  const raw = { width: PHOTO_SIDE, height: PHOTO_SIDE, channels: 3 } as const;
  const scene = await sceneOf(photo.pixels, raw, view, seededRandom(seed * 1_000_003 + place));
  return sharp(scene, { raw })
    .resize(FRAME_SIDE, FRAME_SIDE, { kernel: "cubic" })
    .jpeg({ quality: 90, chromaSubsampling: "4:2:0" })
    .toBuffer();
}

type PhotoSize = { readonly width: number; readonly height: number; readonly channels: 1 | 3 };

export async function sceneOf(pixels: Uint8Array, raw: PhotoSize, view: SiteView, random: Random): Promise<Buffer> {
  switch (view) {
    case "clear":
      return Buffer.from(pixels);
    case "dusk":
      return dusk(pixels, raw.channels, random);
    case "defocus":
      return raw.channels === 1
        ? sharp(pixels, { raw }).blur(DEFOCUS_SIGMA).toColourspace("b-w").raw().toBuffer()
        : sharp(pixels, { raw }).blur(DEFOCUS_SIGMA).raw().toBuffer();
    default:
      return view satisfies never;
  }
}

function dusk(pixels: Uint8Array, channels: 1 | 3, random: Random): Buffer {
  const { exposureMin, exposureMax, tint, noise } = DUSK;
  const exposure = exposureMin + (exposureMax - exposureMin) * random();
  const scene = Buffer.allocUnsafe(pixels.length);
  for (const [i, value] of pixels.entries()) {
    const light = (value / 255) * exposure * (channels === 3 ? (tint[i % 3] as number) : 1) + noise * normal(random);
    scene[i] = Math.round(255 * Math.max(0, Math.min(1, light)));
  }
  return scene;
}
