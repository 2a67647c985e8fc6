/** Frames of a simulated camera: a photo that pans or stands still, its exposure, the sensor's noise, text that is burnt in, a JPEG; and the
 * faults of a camera. */
import { pictureCells } from "@tributary/inference";
import { type Random, seededRandom } from "@tributary/kernel";
import { normal } from "@tributary/testing/fleet";
import sharp, { type SharpInput, type SharpOptions } from "sharp";

const [WIDTH, HEIGHT] = [160, 120];
/** The photo is larger, for it to pan. */
const MARGIN = 16;
const NOISE_LENGTH = 1 << 16;

export type Look = {
  /** Of the photo's light. */
  readonly light: number;
  /** Standard deviation of a pixel, in levels. */
  readonly noise: number;
  readonly quality: number;
  /** Pixels that the scene moves from frame to frame. */
  readonly pan: number;
  /** Bright spots, as lamps are at night. */
  readonly lamps: number;
  readonly hasClock: boolean;
};

export const day: Look = { light: 1, noise: 1.5, quality: 85, pan: 2, lamps: 0, hasClock: false };

export class SyntheticCamera {
  readonly #random: Random;
  readonly #noise: Float32Array;
  readonly #photo: Uint8Array;
  #offset = 0;
  #frames = 0;

  private constructor(seed: number, photo: Uint8Array) {
    this.#random = seededRandom(seed);
    this.#noise = Float32Array.from({ length: NOISE_LENGTH }, () => normal(this.#random));
    this.#photo = photo;
  }

  /** `photo`: a file, or its pixels. */
  static async of(seed: number, photo: SharpInput, options: SharpOptions = {}): Promise<SyntheticCamera> {
    const [width, height] = [WIDTH + MARGIN, HEIGHT + MARGIN];
    const pixels = await sharp(photo, options).resize(width, height, { fit: "fill" }).removeAlpha().raw().toBuffer();
    return new SyntheticCamera(seed, pixels);
  }

  /** What the sensor sees now, without text. */
  exposed({ light, noise, pan, lamps }: Look): Uint8ClampedArray {
    this.#frames += 1;
    this.#offset += pan;
    const shift = Math.round(MARGIN / 2 + (MARGIN / 2) * Math.sin(this.#offset / 7));
    const from = Math.floor(this.#random() * NOISE_LENGTH);
    const noises = this.#noise;
    const photo = this.#photo;
    const pixels = new Uint8ClampedArray(3 * WIDTH * HEIGHT);
    for (let y = 0, i = 0; y < HEIGHT; y++) {
      const line = 3 * ((y + shift) * (WIDTH + MARGIN) + shift);
      for (let j = 0; j < 3 * WIDTH; j++, i++) {
        // Blocks of the pool at random places: as good as noise that never repeats, and made once.
        const disturbance = noises[(from + i + (i >> 9) * 7_919) & (NOISE_LENGTH - 1)] as number;
        pixels[i] = light * (photo[line + j] as number) + noise * disturbance;
      }
    }
    for (let lamp = 0; lamp < lamps; lamp++)
      fill(pixels, 20 + ((lamp * 37 + shift) % 110), 35 + ((lamp * 23) % 50), 6, 6, 250);
    return pixels;
  }

  /** The cells of a frame as they arrive: text burnt in, encoded and decoded. */
  async cells(
    pixels: Uint8ClampedArray,
    { hasClock, quality }: Pick<Look, "hasClock" | "quality">,
  ): Promise<Uint8Array> {
    const picture = pixels.slice();
    if (hasClock) this.#writeClock(picture);
    const raw = { width: WIDTH, height: HEIGHT, channels: 3 } as const;
    const jpeg = await sharp(picture, { raw }).jpeg({ quality, chromaSubsampling: "4:2:0" }).toBuffer();
    return pictureCells(await sharp(jpeg).raw().toBuffer(), WIDTH, HEIGHT) as Uint8Array;
  }

  /** Eight digits in a corner, of which the last ones change. */
  #writeClock(pixels: Uint8ClampedArray): void {
    fill(pixels, 4, 4, 64, 10, 0);
    for (let digit = 0; digit < 8; digit++) {
      const value = Math.floor(this.#frames / 10 ** (7 - digit)) % 10;
      for (let bar = 0; bar < 4; bar++) if ((value >> bar) & 1) fill(pixels, 6 + 8 * digit, 5 + 2 * bar, 6, 1, 255);
      fill(pixels, 6 + 8 * digit + (value % 5), 5, 1, 8, 255);
    }
  }

  get random(): Random {
    return this.#random;
  }

  skip(): void {
    this.#frames += 1;
  }
}

function fill(
  pixels: Uint8ClampedArray,
  left: number,
  top: number,
  width: number,
  height: number,
  level: number,
): void {
  for (let y = top; y < top + height; y++) pixels.fill(level, 3 * (y * WIDTH + left), 3 * (y * WIDTH + left + width));
}
