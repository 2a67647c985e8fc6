/** A folder of photos for cameras that show stored ones: JPEGs as they are, in the order of their names, or the sample photos,
 * cut from their sheets (`index.json`). */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Failure } from "@tributary/kernel";

export interface PhotoFolder {
  readonly count: number;
  /** The label of a photo: a sample's class, or a JPEG's file name. */
  about(photo: number): { readonly label: string } | { readonly file: string };
  jpeg(photo: number): Promise<Buffer>;
}

/** Width and height of a sample photo's frame, in pixels. */
const SIDE = 160;

/** JPEGs where there are any; throws a Failure when there is no photo. */
export function openPhotoFolder(folder: string, side = SIDE): PhotoFolder {
  const files = jpegsIn(folder);
  if (files.length > 0)
    return {
      count: files.length,
      about: (photo) => ({ file: files[photo] as string }),
      jpeg: (photo) => readFile(join(folder, files[photo] as string)),
    };
  if (existsSync(join(folder, "index.json"))) return new Sheets(folder, side);
  throw new Failure("photos-missing", "ask-a-person", `${folder} holds neither JPEGs (.jpg, .jpeg) nor index.json`);
}

/** Names of the JPEGs in the folder itself, in order. */
export const jpegsIn = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => /\.jpe?g$/i.test(name))
    .sort();

type Index = {
  readonly classes: readonly string[];
  readonly side: number;
  readonly columns: number;
  readonly sheets: readonly { readonly file: string; readonly photos: number }[];
  readonly labels: readonly number[];
};

class Sheets implements PhotoFolder {
  readonly #folder: string;
  readonly #index: Index;
  readonly #side: number;
  readonly #sheets = new Map<number, { readonly pixels: Buffer; readonly width: number }>();

  constructor(folder: string, side: number) {
    this.#folder = folder;
    this.#side = side;
    this.#index = JSON.parse(readFileSync(join(folder, "index.json"), "utf8")) as Index;
  }

  get count(): number {
    return this.#index.labels.length;
  }

  about(photo: number) {
    return { label: this.#index.classes[this.#index.labels[photo] as number] as string };
  }

  async jpeg(photo: number): Promise<Buffer> {
    const { side, columns, sheets } = this.#index;
    let number = 0;
    let within = photo;
    while (within >= (sheets[number]?.photos ?? Number.POSITIVE_INFINITY)) within -= sheets[number++]?.photos as number;
    const { pixels, width } = await this.#load(number);
    const tile = Buffer.allocUnsafe(side * side * 3);
    const left = (within % columns) * side;
    const top = Math.floor(within / columns) * side;
    for (let y = 0; y < side; y++) {
      const from = ((top + y) * width + left) * 3;
      pixels.copy(tile, y * side * 3, from, from + side * 3);
    }
    const sharp = await loadedSharp();
    return sharp(tile, { raw: { width: side, height: side, channels: 3 } })
      .resize(this.#side, this.#side, { kernel: "cubic" })
      .jpeg({ quality: 90, chromaSubsampling: "4:2:0" })
      .toBuffer();
  }

  async #load(number: number) {
    let sheet = this.#sheets.get(number);
    if (sheet === undefined) {
      const file = join(this.#folder, this.#index.sheets[number]?.file ?? "");
      const sharp = await loadedSharp();
      const image = sharp(file).removeAlpha().toColourspace("srgb").raw();
      const { data, info } = await image.toBuffer({ resolveWithObject: true });
      if (info.channels !== 3) throw new Error(`${file}: ${info.channels} channels, 3 are needed`);
      sheet = { pixels: data, width: info.width };
      this.#sheets.set(number, sheet);
    }
    return sheet;
  }
}

/** Only for sheets: JPEGs are shown as they are. */
async function loadedSharp() {
  const { default: sharp } = await import("sharp");
  sharp.concurrency(1);
  sharp.cache(false);
  return sharp;
}
