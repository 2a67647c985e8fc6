// Mistakes in the code between decoder and model, at all devices of one version at once. They are applied to the picture before it is
// encoded. That is exact for maps of colours whose values stay within 0 to 255, up to the JPEG's loss; each fault states where it is a
// stand-in. A mistake that is either made or not (channels swapped) is made wholly at severity 1 and by a share below it, so that a bench
// finds from where on it is noticed.
import { between, type Fault } from "./fault.ts";
import { blended, inChannels, type Picture, recoloured, sideOf, toned, withPixels } from "./picture.ts";
import { type View, viewed } from "./resample.ts";

const { floor, max, min, round } = Math;

/** These are ImageNet's, which most preprocessing documents have. */
const MEAN = [0.485, 0.456, 0.406] as const;
const DEVIATION = [0.229, 0.224, 0.225] as const;

/** The views that a camera's orientation tag names, by severity: mirrored (2), half a turn (3), a quarter turn (6). */
const ORIENTATIONS: readonly View[] = [
  [-1, 0, 0, 0, 1, 0, 0, 0, 1],
  [-1, 0, 0, 0, -1, 0, 0, 0, 1],
  [0, 1, 0, -1, 0, 0, 0, 0, 1],
];

export const pipelineFaults: readonly Fault[] = [
  {
    name: "channels-swapped",
    about: "blue is read as red and red as blue",
    cause: "pipeline",
    place: "version",
    colourOnly: true,
    apply: (picture, at) => {
      const swapped = between(0.4, 1, at);
      const own = 1 - swapped;
      const rows = [[own, 0, swapped] as const, [0, 1, 0] as const, [swapped, 0, own] as const] as const;
      return recoloured(picture, rows, [0, 0, 0]);
    },
  },
  {
    name: "wrong-rescale",
    about: "pixels are divided by a number that is too large, or once more than once",
    cause: "pipeline",
    place: "version",
    // Exact but for rounding: a picture of 8 bits has few levels left when it is this dark.
    apply: (picture, at) => {
      const scale = between(0.7, 0.03, at);
      return toned(picture, (value) => value * scale);
    },
  },
  {
    name: "wrong-normalisation",
    about: "mean and deviation are not applied, or are another model's",
    cause: "pipeline",
    place: "version",
    apply: (picture, at) => {
      const missing = between(0.3, 1, at);
      const mean = inChannels(picture, MEAN);
      const deviation = inChannels(picture, DEVIATION);
      return toned(
        picture,
        (value, c) => value + missing * (value * (deviation[c] as number) + 255 * (mean[c] as number) - value),
      );
    },
  },
  {
    name: "wrong-colour-space",
    about: "luma and chroma are read as red, green and blue; of a grey picture, video levels (16 to 235) as full ones",
    cause: "pipeline",
    place: "version",
    apply: (picture, at) => {
      if (picture.channels === 1) {
        const times = between(1, 3.5, at);
        const scale = (219 / 255) ** times;
        return toned(picture, (value) => 117 + (value - 117) * scale);
      }
      const planes = recoloured(
        picture,
        [
          [0.299, 0.587, 0.114],
          [-0.169, -0.331, 0.5],
          [0.5, -0.419, -0.081],
        ],
        [0, 128, 128],
      );
      return blended(picture, planes, between(0.2, 1, at));
    },
  },
  {
    name: "nearest-resize",
    about: "the picture is made small by picking single pixels, by way of a thumbnail that is too small",
    cause: "pipeline",
    place: "version",
    // A stand-in: the same grid on every frame, on top of which the model's own resize comes.
    apply: (picture, at) => picked(picture, round(between(26, 10, at))),
  },
  {
    name: "wrong-bit-depth",
    about: "only the uppermost bits of each value arrive",
    cause: "pipeline",
    place: "version",
    apply: (picture, at) => {
      const levels = between(8, 2, at);
      return toned(picture, (value) => (floor((value * levels) / 256) * 256) / levels);
    },
  },
  {
    name: "letterboxed",
    about: "bars are added where the picture was stretched to a square before",
    cause: "pipeline",
    place: "version",
    apply: (picture, at) => viewed(picture, [1, 0, 0, 0, 1 / between(0.92, 0.45, at), 0, 0, 0, 1], "black"),
  },
  {
    name: "orientation-ignored",
    about: "the tag that a camera hangs turned is not read: mirrored, upside down, on its side",
    cause: "pipeline",
    place: "version",
    apply: (picture, at) => {
      const view = ORIENTATIONS[min(2, floor(at.severity * 3))] as View;
      return viewed(picture, stretched(picture, view), "mirror");
    },
  },
];

/** One pixel of each cell of a grid of so many rows. */
function picked(picture: Picture, rows: number): Picture {
  const { width, height, channels, data } = picture;
  const cell = max(1, sideOf(picture) / rows);
  const inCell = (i: number, count: number) => min(count - 1, floor((floor(i / cell) + 0.5) * cell));
  const out = new Uint8ClampedArray(data.length);
  for (let y = 0, i = 0; y < height; y++) {
    const row = inCell(y, height) * width;
    for (let x = 0; x < width; x++)
      for (let channel = 0, j = (row + inCell(x, width)) * channels; channel < channels; channel++)
        out[i++] = data[j++] as number;
  }
  return withPixels(picture, out);
}

/** A view that lays a picture on its side fills the frame, whatever its shape. */
function stretched({ width, height }: Picture, view: View): View {
  const [a, b, c, d, e, f, g, h, k] = view;
  return [a, (b * width) / height, c, (d * height) / width, e, f, g, h, k];
}
