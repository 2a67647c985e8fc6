/** The committed test photos, and as the sample camera serves them: 160 x 160 JPEGs, bicubic, quality 90, 4:2:0. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";

const FOLDER = fileURLToPath(new URL("../../../samples/cifar10-test/", import.meta.url));
const FRAME_SIDE = 160;

type Index = {
  readonly classes: readonly string[];
  readonly side: number;
  readonly columns: number;
  readonly sheets: readonly { readonly file: string; readonly photos: number }[];
  readonly labels: readonly number[];
};

/** Pixels row by row; RGB side by side where there are three channels. */
type SamplePhoto = { readonly pixels: Buffer; readonly label: number };
export type SampleFrame = { readonly jpeg: Buffer; readonly label: number };

type Tile = {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  /** Photos beside each other in the sheet. */
  readonly columns: number;
};

/** The first `count` photos, or all. */
export async function samplePhotos(count = Number.POSITIVE_INFINITY): Promise<readonly SamplePhoto[]> {
  const { side, columns, labels, sheets } = JSON.parse(await readFile(join(FOLDER, "index.json"), "utf8")) as Index;
  const found: SamplePhoto[] = [];
  for (const { file, photos } of sheets) {
    const left = Math.min(photos, count - found.length);
    if (left <= 0) break;
    const tiles = await sheetTiles(join(FOLDER, file), { width: side, height: side, channels: 3, columns }, left);
    for (const pixels of tiles) found.push({ pixels, label: labels[found.length] as number });
  }
  return found;
}

/** The same as the sample camera's JPEGs. */
export async function sampleFrames(count = Number.POSITIVE_INFINITY): Promise<readonly SampleFrame[]> {
  const frames: SampleFrame[] = [];
  for (const { pixels, label } of await samplePhotos(count)) {
    const side = Math.sqrt(pixels.length / 3);
    const jpeg = await sharp(pixels, { raw: { width: side, height: side, channels: 3 } })
      .resize(FRAME_SIDE, FRAME_SIDE, { kernel: "cubic" })
      .jpeg({ quality: 90, chromaSubsampling: "4:2:0" })
      .toBuffer();
    frames.push({ jpeg, label });
  }
  return frames;
}

/** The first `count` photos of a sheet: one picture of many, row by row. */
export async function sheetTiles(
  file: string,
  { width, height, channels, columns }: Tile,
  count: number,
): Promise<readonly Buffer[]> {
  const { data, info } = await sharp(file)
    .removeAlpha()
    .toColourspace(channels === 1 ? "b-w" : "srgb")
    .raw()
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== channels || info.width !== columns * width || info.height * columns < count * height) {
    throw new Error(`${file}: ${info.width} x ${info.height} x ${info.channels} does not hold ${count} photos`);
  }
  return Array.from({ length: count }, (_, i) => {
    const tile = Buffer.allocUnsafe(width * height * channels);
    for (let y = 0; y < height; y++) {
      const row = Math.floor(i / columns) * height + y;
      const from = (row * info.width + (i % columns) * width) * channels;
      data.copy(tile, y * width * channels, from, from + width * channels);
    }
    return tile;
  });
}

/** A photo in poor light: this share of its brightness is left. */
export const dimmed = (jpeg: Uint8Array, brightness: number): Promise<Buffer> =>
  sharp(jpeg).linear(brightness, 0).jpeg({ quality: 90, chromaSubsampling: "4:2:0" }).toBuffer();
