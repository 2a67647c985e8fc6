/** Small changes of a picture that leave its class as it is: mirrored left to right, and moved by a few pixels. What a move leaves
 * empty is filled by reflection, without repeating the edge. */
import type { Random } from "@tributary/kernel";
import type { Recipe } from "../recipe.ts";

export type Augmentation = { readonly isFlipped: boolean; readonly right: number; readonly down: number };

export type PictureSize = { readonly width: number; readonly height: number; readonly channels: number };

/** Takes three numbers, whatever the recipe: what is drawn later does not depend on it. */
export function drawAugmentation(
  random: Random,
  { flips, shiftMax }: Pick<Recipe, "flips" | "shiftMax">,
): Augmentation {
  const flip = random();
  const shift = () => Math.floor(random() * (2 * shiftMax + 1)) - shiftMax;
  return { isFlipped: flips && flip < 0.5, right: shift(), down: shift() };
}

/** Interleaved pixels, rows of `width`. Returns `pixels` itself where nothing changes. */
export function augment(pixels: Uint8Array, size: PictureSize, { isFlipped, right, down }: Augmentation): Uint8Array {
  if (!isFlipped && right === 0 && down === 0) return pixels;
  const { width, height, channels } = size;
  const moved = new Uint8Array(pixels.length);
  const columns = Array.from({ length: width }, (_, x) => {
    const from = reflected(x - right, width);
    return (isFlipped ? width - 1 - from : from) * channels;
  });
  let to = 0;
  for (let y = 0; y < height; y++) {
    const row = reflected(y - down, height) * width * channels;
    for (let x = 0; x < width; x++) {
      const from = row + (columns[x] as number);
      for (let channel = 0; channel < channels; channel++) moved[to++] = pixels[from + channel] as number;
    }
  }
  return moved;
}

/** -1 is 1, `size` is `size` - 2. A picture of one pixel has but that one. */
function reflected(place: number, size: number): number {
  if (size === 1) return 0;
  const period = 2 * (size - 1);
  const within = ((place % period) + period) % period;
  return within < size ? within : period - within;
}
