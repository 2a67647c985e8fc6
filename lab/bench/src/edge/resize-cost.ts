/** What decoding and resizing as Pillow does costs beside libvips' own, in one process and in turns, on one thread. */
import { parsePreprocessing } from "@tributary/inference";
import { seededRandom } from "@tributary/kernel";
import { decodePicture, PIXELS_MAX } from "@tributary/onnx";
import { quantilesOf } from "@tributary/testing";
import sharp from "sharp";

export type ResizeCost = {
  /** "1920 x 1080 to 224 x 224, bicubic". */
  readonly name: string;
  readonly pillowMs: number;
  readonly libvipsMs: number;
  readonly ratio: number;
};

/** The sample cameras' size first. */
const SIZES = [
  { width: 160, height: 160, side: 32, turns: 1_500 },
  { width: 640, height: 480, side: 224, turns: 200 },
  { width: 1_920, height: 1_080, side: 224, turns: 60 },
] as const;
const KERNELS = [
  { resample: 2, kernel: "bilinear" },
  { resample: 3, kernel: "bicubic" },
] as const;

export async function resizeCosts(isLong: boolean): Promise<readonly ResizeCost[]> {
  sharp.concurrency(1);
  sharp.cache(false);
  const costs: ResizeCost[] = [];
  for (const { width, height, side, turns } of SIZES) {
    const jpeg = await noisyJpeg(width, height);
    for (const { resample, kernel } of KERNELS) {
      const [pillowMs, libvipsMs] = await mediansOf(jpeg, { side, resample }, isLong ? 4 * turns : turns);
      const name = `${width} x ${height} to ${side} x ${side}, ${kernel}`;
      costs.push({ name, pillowMs, libvipsMs, ratio: pillowMs / libvipsMs });
    }
  }
  return costs;
}

async function mediansOf(jpeg: Buffer, how: { readonly side: number; readonly resample: number }, turns: number) {
  const size = { width: how.side, height: how.side };
  const [pillow, libvips] = ["pillow", "libvips"].map((image_library) => ({
    preprocessing: parsePreprocessing({ do_normalize: false, size, resample: how.resample, image_library }),
    ms: [] as number[],
  })) as [Lane, Lane];
  for (let turn = -turns / 4; turn < turns; turn++) {
    for (const { preprocessing, ms } of turn % 2 === 0 ? [pillow, libvips] : [libvips, pillow]) {
      const startMs = performance.now();
      const picture = await decodePicture(jpeg, preprocessing, PIXELS_MAX);
      if (!picture.ok) throw new Error(picture.message);
      if (turn >= 0) ms.push(performance.now() - startMs);
    }
  }
  return [quantilesOf(pillow.ms, 0.5)[0], quantilesOf(libvips.ms, 0.5)[0]] as const;
}

type Lane = { readonly preprocessing: ReturnType<typeof parsePreprocessing>; readonly ms: number[] };

/** Coarse colours and some noise: about as many bits per pixel as a photo has. */
async function noisyJpeg(width: number, height: number): Promise<Buffer> {
  const random = seededRandom(width);
  const pixels = new Uint8Array(3 * width * height).map(() => random() * 256);
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .blur(3)
    .jpeg({ quality: 90 })
    .toBuffer();
}
