// Pictures as plain arrays, and the changes of tone and colour that faults and weather are made of. Each function returns a new
// picture of the same size and leaves its argument as it is.

// Jest looks every global up anew, which is slow within a loop over pixels; the other files do the same.
const { max, min } = Math;

/** A decoded picture: rows of pixels, the channels of a pixel side by side. */
export type Picture = {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly data: Uint8Array;
};
/** Red, green and blue of 0 to 255, or factors of them. A grey picture uses the luminance. */
export type Colour = readonly [number, number, number];

/** The shorter side in pixels. Sizes in this folder are shares of it, so that a fault looks alike on small and large frames. */
export function sideOf({ width, height }: Picture): number {
  return min(width, height);
}

/** The value, bounded to 0 and 1. */
export function unit(value: number): number {
  return max(0, min(1, value));
}

/** A step that is 0 below `from` and 1 above `to`, and smooth between. */
export function smoothStep(from: number, to: number, value: number): number {
  const t = unit((value - from) / (to - from));
  return t * t * (3 - 2 * t);
}

export function luminance(red: number, green: number, blue: number): number {
  return 0.299 * red + 0.587 * green + 0.114 * blue;
}

/** The colour by channel of this picture. */
export function inChannels(picture: Picture, colour: Colour): readonly number[] {
  return picture.channels === 3 ? colour : [luminance(...colour)];
}

/** The picture with other pixels, which the array has rounded and bounded. */
export function withPixels({ width, height, channels }: Picture, pixels: Uint8ClampedArray<ArrayBuffer>): Picture {
  return { width, height, channels, data: new Uint8Array(pixels.buffer) };
}

/** The picture with each value sent through a curve of its channel. */
export function toned(picture: Picture, curve: (value: number, channel: number) => number): Picture {
  const { channels, data } = picture;
  const table = new Uint8ClampedArray(256 * channels);
  for (let channel = 0; channel < channels; channel++)
    for (let value = 0; value < 256; value++) table[channel * 256 + value] = curve(value, channel);
  const out = new Uint8ClampedArray(data.length);
  if (channels === 1) for (let i = 0; i < out.length; i++) out[i] = table[data[i] as number] as number;
  else
    for (let i = 0; i < out.length; i += 3) {
      out[i] = table[data[i] as number] as number;
      out[i + 1] = table[256 + (data[i + 1] as number)] as number;
      out[i + 2] = table[512 + (data[i + 2] as number)] as number;
    }
  return withPixels(picture, out);
}

/** The picture with each channel times its factor. */
export function tinted(picture: Picture, factors: Colour): Picture {
  const by = inChannels(picture, factors);
  return toned(picture, (value, channel) => value * (by[channel] as number));
}

/** Each pixel times a matrix (three rows), and `offset` added. A grey picture has no colours to mix and stays as it is. */
export function recoloured(picture: Picture, rows: readonly [Colour, Colour, Colour], offset: Colour): Picture {
  if (picture.channels === 1) return picture;
  const { data } = picture;
  const [[rr, rg, rb], [gr, gg, gb], [br, bg, bb]] = rows;
  const [or, og, ob] = offset;
  const out = new Uint8ClampedArray(data.length);
  for (let i = 0; i < out.length; i += 3) {
    const r = data[i] as number;
    const g = data[i + 1] as number;
    const b = data[i + 2] as number;
    out[i] = rr * r + rg * g + rb * b + or;
    out[i + 1] = gr * r + gg * g + gb * b + og;
    out[i + 2] = br * r + bg * g + bb * b + ob;
  }
  return withPixels(picture, out);
}

/** `from` where the share is 0, `to` where it is 1. `share`: one for all, or by pixel. */
export function blended(from: Picture, to: Picture, share: number | Float32Array): Picture {
  const { channels } = from;
  const a = from.data;
  const b = to.data;
  const out = new Uint8ClampedArray(a.length);
  if (typeof share === "number")
    for (let i = 0; i < out.length; i++) out[i] = (a[i] as number) + share * ((b[i] as number) - (a[i] as number));
  else
    for (let pixel = 0, i = 0; pixel < share.length; pixel++) {
      const s = share[pixel] as number;
      for (const end = i + channels; i < end; i++)
        out[i] = (a[i] as number) + s * ((b[i] as number) - (a[i] as number));
    }
  return withPixels(from, out);
}

/** A colour over the picture, by pixel. */
export function veiled(picture: Picture, share: Float32Array, colour: Colour, opacity = 1): Picture {
  const { channels, data } = picture;
  const over = inChannels(picture, colour);
  const out = new Uint8ClampedArray(data.length);
  for (let pixel = 0, i = 0; pixel < share.length; pixel++) {
    const s = (share[pixel] as number) * opacity;
    for (let channel = 0; channel < channels; channel++, i++)
      out[i] = (data[i] as number) + s * ((over[channel] as number) - (data[i] as number));
  }
  return withPixels(picture, out);
}

/** The picture with each pixel times its factor. */
export function shaded(picture: Picture, factor: Float32Array): Picture {
  const { channels, data } = picture;
  const out = new Uint8ClampedArray(data.length);
  for (let pixel = 0, i = 0; pixel < factor.length; pixel++) {
    const f = factor[pixel] as number;
    for (const end = i + channels; i < end; i++) out[i] = (data[i] as number) * f;
  }
  return withPixels(picture, out);
}
