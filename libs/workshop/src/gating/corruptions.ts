/** Frames damaged as devices damage them: light, lens, sensor, link. Seeded, so that both models see the same damage. */
import { seededRandom } from "@tributary/kernel";
import sharp, { type Sharp } from "sharp";

export type Corruption = {
  readonly name: string;
  readonly apply: (jpeg: Uint8Array, seed: number) => Promise<Uint8Array>;
};

const QUALITY = 90;
const jpegOf = async (image: Sharp, quality = QUALITY): Promise<Uint8Array> =>
  new Uint8Array(await image.jpeg({ quality }).toBuffer());

export const corruptions: readonly Corruption[] = [
  { name: "dark", apply: (jpeg) => jpegOf(sharp(jpeg).linear(0.4, 0)) },
  { name: "glare", apply: (jpeg) => jpegOf(sharp(jpeg).linear(1.4, 30)) },
  { name: "haze", apply: (jpeg) => jpegOf(sharp(jpeg).linear(0.5, 90)) },
  { name: "out of focus", apply: blurred },
  { name: "sensor noise", apply: noisy },
  { name: "hard compression", apply: (jpeg) => jpegOf(sharp(jpeg), 15) },
];

async function blurred(jpeg: Uint8Array): Promise<Uint8Array> {
  const image = sharp(jpeg);
  const { width = 1 } = await image.metadata();
  return jpegOf(image.blur(Math.max(0.5, width / 100)));
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
  return jpegOf(sharp(data, { raw: { width, height, channels } }));
}
