/** Frames damaged as devices damage them: light, lens, sensor, link. Seeded, so that both models see the same damage. */
import { jpegQuality } from "@tributary/inference";
import { seededRandom } from "@tributary/kernel";
import type { Light } from "@tributary/models/gate";
import sharp, { type Sharp } from "sharp";

/** As people name them for `--robustness`. */
export const CORRUPTIONS = ["dark", "glare", "haze", "out-of-focus", "sensor-noise", "hard-compression"] as const;
export type CorruptionName = (typeof CORRUPTIONS)[number];

export type Corruption = {
  readonly name: CorruptionName;
  /** Whether it changes the light, which a task may always have the same. */
  readonly isOfLight: boolean;
  readonly apply: (jpeg: Uint8Array, seed: number) => Promise<Uint8Array>;
};

/** Coded as the camera coded its picture, so that only the damage shows in the bits per pixel: in its quality, and with the
 * standard's Huffman tables, as encoders in hardware do. */
const jpegOf = async (image: Sharp, source: Uint8Array, quality = jpegQuality(source)): Promise<Uint8Array> =>
  new Uint8Array(await image.jpeg({ quality: Math.max(1, Math.round(quality)), optimizeCoding: false }).toBuffer());

export const corruptions: readonly Corruption[] = [
  { name: "dark", isOfLight: true, apply: (jpeg) => jpegOf(sharp(jpeg).linear(0.4, 0), jpeg) },
  { name: "glare", isOfLight: true, apply: (jpeg) => jpegOf(sharp(jpeg).linear(1.4, 30), jpeg) },
  { name: "haze", isOfLight: true, apply: (jpeg) => jpegOf(sharp(jpeg).linear(0.5, 90), jpeg) },
  { name: "out-of-focus", isOfLight: false, apply: blurred },
  { name: "sensor-noise", isOfLight: false, apply: noisy },
  {
    name: "hard-compression",
    isOfLight: false,
    apply: (jpeg) => jpegOf(sharp(jpeg), jpeg, Math.min(15, jpegQuality(jpeg) / 3)),
  },
];

/** What a gate measures of a picture's light. */
export async function lightOf(jpeg: Uint8Array): Promise<Light> {
  const { data, info } = await sharp(jpeg).greyscale().raw().toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  const [grey] = (await sharp(data, { raw: { width, height, channels } }).stats()).channels;
  return { luminance: (grey?.mean ?? 0) / 255, contrast: (grey?.stdev ?? 0) / 255 };
}

/** By a standard deviation of a hundredth of the width. */
async function blurred(jpeg: Uint8Array): Promise<Uint8Array> {
  const image = sharp(jpeg);
  const { width = 1 } = await image.metadata();
  return jpegOf(image.blur(Math.max(0.5, width / 100)), jpeg);
}

async function noisy(jpeg: Uint8Array, seed: number): Promise<Uint8Array> {
  const { data, info } = await sharp(jpeg).raw().toBuffer({ resolveWithObject: true });
  const random = seededRandom(seed);
  // The sum of four uniforms is near enough to a normal, with a standard deviation of 0.58.
  for (let i = 0; i < data.length; i++) {
    const noise = random() + random() + random() + random() - 2;
    data[i] = Math.max(0, Math.min(255, (data[i] as number) + 35 * noise));
  }
  const { width, height, channels } = info;
  return jpegOf(sharp(data, { raw: { width, height, channels } }), jpeg);
}
