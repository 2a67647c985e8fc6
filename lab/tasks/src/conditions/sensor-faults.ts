// What is wrong behind the lens of one camera: its sensor, its control of exposure and colour, its encoder.
import sharp from "sharp";
import { between, type Fault, type Moment } from "./fault.ts";
import { grained, normals, randomOf, signed } from "./fields.ts";
import { luminance, type Picture, recoloured, sideOf, tinted, toned, withPixels } from "./picture.ts";

const { ceil, exp, floor, max, min, round } = Math;

export const sensorFaults: readonly Fault[] = [
  {
    name: "dead-pixels",
    about: "pixels, columns and rows of the sensor are stuck, bright or dark",
    cause: "camera",
    place: "camera",
    apply: stuckPixels,
  },
  {
    name: "sensor-noise",
    about: "the sensor or its supply is noisy: grain, stripes by row and a fixed pattern of columns",
    cause: "camera",
    place: "camera",
    apply: noisy,
  },
  {
    name: "ir-filter-stuck",
    about: "the infrared filter stays open by day: all is pink, and plants are pale",
    cause: "camera",
    place: "camera",
    colourOnly: true,
    apply: infraredOpen,
  },
  {
    name: "colour-cast",
    about: "the white balance is wrong",
    cause: "camera",
    place: "camera",
    colourOnly: true,
    apply: (picture, at) => {
      const random = randomOf("colour-cast", at.camera);
      const strength = between(0.2, 0.75, at);
      const towards = random() * 2 * Math.PI;
      // One axis from blue to yellow, the other from green to magenta, as on a camera's own controls; brightness stays.
      const [warm, magenta] = [Math.cos(towards) * strength, Math.sin(towards) * strength];
      const [r, g, b] = [0.7 * warm + 0.35 * magenta, -0.7 * magenta, 0.35 * magenta - 0.9 * warm].map(exp) as [
        number,
        number,
        number,
      ];
      const bright = luminance(r, g, b);
      return tinted(picture, [r / bright, g / bright, b / bright]);
    },
  },
  {
    name: "stuck-gain",
    about: "gain stays at its highest: bright parts are clipped, dark ones are lifted",
    cause: "camera",
    place: "camera",
    apply: (picture, at) => {
      const gain = between(1.25, 3.2, at);
      const pedestal = between(8, 40, at);
      const bright = toned(picture, (value) => value * gain + pedestal);
      return grained(bright, randomOf("stuck-gain", at.camera, at.frame), between(3, 10, at));
    },
  },
];

export const encoderFaults: readonly Fault[] = [
  {
    name: "hard-compression",
    about: "the camera compresses far too hard",
    cause: "camera",
    place: "camera",
    apply: (picture) => picture,
    encode: starved,
  },
  {
    name: "damaged-blocks",
    about: "parts of the stream are lost: blocks are displaced or empty, the rest of a frame is smeared",
    cause: "camera",
    place: "camera",
    apply: damaged,
  },
  {
    name: "frozen-frame",
    about: "the camera sends the same picture again and again",
    cause: "camera",
    place: "camera",
    apply: (picture) => picture,
    // It hangs for three frames at a time, up to ten thousand.
    sends: ({ severity, frame }) => frame - (frame % round(3 * (10_000 / 3) ** severity)),
  },
];

function stuckPixels(picture: Picture, at: Moment): Picture {
  const random = randomOf("dead-pixels", at.camera);
  const { width, height, channels, data } = picture;
  const cell = max(1, round(sideOf(picture) / 72));
  const [columns, rows] = [ceil(width / cell), ceil(height / cell)];
  const out = Uint8ClampedArray.from(data);
  const fill = (
    left: number,
    top: number,
    right: number,
    bottom: number,
    change: (value: number, c: number) => number,
  ) => {
    for (let y = top * cell; y < min(height, bottom * cell); y++)
      for (let x = left * cell; x < min(width, right * cell); x++)
        for (let c = 0, i = (y * width + x) * channels; c < channels; c++, i++) out[i] = change(out[i] as number, c);
  };
  for (let left = columns * rows * between(0.003, 0.05, at); left > 0; left--) {
    const [x, y] = [floor(random() * columns), floor(random() * rows)];
    const hot = random() < 0.6;
    const only = floor(random() * 6);
    // A hot pixel under one filter of the mosaic shows in one colour.
    fill(x, y, x + 1, y + 1, (value, c) => (hot ? (only < 3 && channels === 3 && c !== only ? value : 255) : 0));
  }
  const lines = between(1, 8, at);
  for (let line = 0; line < lines; line++) {
    const upright = line % 3 !== 2;
    const where = floor(random() * (upright ? columns : rows));
    const level = random() < 0.5 ? 0.15 : 1;
    const change = (value: number) => (level < 1 ? value * level : 200 + value / 4);
    if (upright) fill(where, 0, where + 1, rows, change);
    else fill(0, where, columns, where + 1, change);
  }
  return withPixels(picture, out);
}

function noisy(picture: Picture, at: Moment): Picture {
  const { width, height, channels } = picture;
  const own = normals(randomOf("fixed-pattern", at.camera));
  const random = randomOf("sensor-noise", at.camera, at.frame);
  const byRow = normals(random);
  const band = max(1, round(sideOf(picture) / 64));
  const columns = Float32Array.from({ length: ceil(width / band) }, () => own() * between(2, 13, at));
  const grainy = grained(picture, random, between(6, 38, at), between(3, 32, at));
  const out = Uint8ClampedArray.from(grainy.data);
  let row = 0;
  for (let y = 0, i = 0; y < height; y++) {
    if (y % band === 0) row = byRow() * between(2, 15, at);
    for (let x = 0; x < width; x++) {
      const more = row + (columns[floor(x / band)] as number);
      for (let c = 0; c < channels; c++, i++) out[i] = (out[i] as number) + more;
    }
  }
  return withPixels(picture, out);
}

/** Infrared is taken for what red and green have in common, of which plants have most; it adds to red most and to green least. */
function infraredOpen(picture: Picture, at: Moment): Picture {
  const k = between(0.3, 1.2, at);
  const own = 1 - 0.45 * k;
  const leak = (share: number) => [0.4 * share * k, 0.45 * share * k, 0.1 * share * k] as const;
  const [r, g, b] = [leak(0.95), leak(0.45), leak(0.75)];
  const rows = [
    [own + r[0], r[1], r[2]] as const,
    [g[0], own + g[1], g[2]] as const,
    [b[0], b[1], own + b[2]] as const,
  ] as const;
  return recoloured(picture, rows, [30 * k, 4 * k, 20 * k]);
}

/** Cameras that lack bits also make the picture smaller before they compress it. */
async function starved(picture: Picture, at: Moment): Promise<Buffer> {
  const { width, height, channels, data } = picture;
  const scale = between(0.6, 0.35, at);
  const small = await sharp(data, { raw: { width, height, channels } })
    .resize(max(16, round(width * scale)), max(16, round(height * scale)), { fit: "fill" })
    .jpeg({ quality: round(between(22, 6, at)), chromaSubsampling: "4:2:0" })
    .toBuffer();
  return await sharp(small).resize(width, height, { fit: "fill" }).jpeg({ quality: 90 }).toBuffer();
}

/** What a decoder makes of lost packets: it copies from the wrong place, leaves blocks flat, and repeats the last good row. */
function damaged(picture: Picture, at: Moment): Picture {
  const random = randomOf("damaged-blocks", at.camera, at.frame);
  const { width, height, channels, data } = picture;
  const block = max(2, round(sideOf(picture) / 12));
  const out = Uint8ClampedArray.from(data);
  // Empty luma and chroma are green in a colour picture.
  const empty = channels === 3 ? [0, 135, 0] : [128];
  for (let run = between(2, 16, at); run > 0; run--) {
    const [left, top] = [floor((random() * width) / block) * block, floor((random() * height) / block) * block];
    const right = min(width, left + block * ceil(between(3, 6, at) * random()));
    const [dx, dy] = [round(width * 0.4 * signed(random)), round(height * 0.4 * signed(random))];
    const lost = random() < 0.3;
    for (let y = top; y < min(height, top + block); y++)
      for (let x = left; x < right; x++) {
        const from = (((y + dy + height) % height) * width + ((x + dx + width) % width)) * channels;
        for (let c = 0, i = (y * width + x) * channels; c < channels; c++)
          out[i++] = lost ? (empty[c] as number) : (data[from + c] as number);
      }
  }
  const kept = round(height * (1 - between(0.15, 0.75, at) * random()));
  for (let y = max(1, kept); y < height; y++) {
    const row = y * width * channels;
    out.copyWithin(row, row - width * channels, row);
  }
  return withPixels(picture, out);
}
