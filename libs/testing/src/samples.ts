/** The committed test photos as the sample camera serves them: 160 x 160 JPEGs, bicubic, quality 90, 4:2:0. */
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

export type SampleFrame = { readonly jpeg: Buffer; readonly label: number };

/** The first `count` photos, or all. */
export async function sampleFrames(count = Number.POSITIVE_INFINITY): Promise<readonly SampleFrame[]> {
  const index = JSON.parse(await readFile(join(FOLDER, "index.json"), "utf8")) as Index;
  const { side, columns, labels } = index;
  const frames: SampleFrame[] = [];
  for (const { file, photos } of index.sheets) {
    if (frames.length >= count) break;
    const { data, info } = await sharp(join(FOLDER, file))
      .removeAlpha()
      .toColourspace("srgb")
      .raw()
      .toBuffer({ resolveWithObject: true });
    for (let within = 0; within < photos && frames.length < count; within++) {
      const tile = Buffer.allocUnsafe(side * side * 3);
      for (let y = 0; y < side; y++) {
        const row = Math.floor(within / columns) * side + y;
        const from = (row * info.width + (within % columns) * side) * 3;
        data.copy(tile, y * side * 3, from, from + side * 3);
      }
      const jpeg = await sharp(tile, { raw: { width: side, height: side, channels: 3 } })
        .resize(FRAME_SIDE, FRAME_SIDE, { kernel: "cubic" })
        .jpeg({ quality: 90, chromaSubsampling: "4:2:0" })
        .toBuffer();
      frames.push({ jpeg, label: labels[frames.length] as number });
    }
  }
  return frames;
}

/** A photo in poor light: this share of its brightness is left. */
export const dimmed = (jpeg: Uint8Array, brightness: number): Promise<Buffer> =>
  sharp(jpeg).linear(brightness, 0).jpeg({ quality: 90, chromaSubsampling: "4:2:0" }).toBuffer();
