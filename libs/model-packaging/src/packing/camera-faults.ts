/**
 * What goes wrong with cameras and with the light they stand in, made on purpose, so that a monitor can name it later. Each is made
 * several times, of several severities and at several places of the picture: what a fault looks like is a range, not one shift.
 *
 * Pixels are changed before the JPEG is made, and the JPEG is made as the camera made its own. */
import { type FaultExample, jpegQuality } from "@tributary/inference";
import { type Random, seededRandom } from "@tributary/kernel";
import sharp, { type Sharp } from "sharp";

/** Interleaved 8-bit RGB. */
type Picture = { readonly width: number; readonly height: number; readonly data: Uint8Array };
type Change = (picture: Picture, severity: number, random: Random) => Picture;

export type CameraFault = {
  readonly name: string;
  readonly place: FaultExample["place"];
  readonly change: Change;
  /** How the JPEG is made instead. */
  readonly encode?: (image: Sharp, quality: number, severity: number) => Sharp;
};

// Taken out of the loops: tests look up a global slowly.
const { abs, cos, floor, hypot, max, min, round, sin } = Math;

/** `f`: the new value of a channel; `u` and `v` are the place, 0 to 1. */
function each(
  { width, height, data }: Picture,
  f: (value: number, channel: number, u: number, v: number) => number,
): Picture {
  const changed = new Uint8ClampedArray(data.length);
  for (let y = 0, i = 0; y < height; y++) {
    const v = (y + 0.5) / height;
    for (let x = 0; x < width; x++) {
      const u = (x + 0.5) / width;
      for (let channel = 0; channel < 3; channel++, i++) changed[i] = f(data[i] as number, channel, u, v);
    }
  }
  return { width, height, data: new Uint8Array(changed.buffer) };
}

/** Each pixel taken from another place (0 to 1); beyond the border from the border. */
function moved(picture: Picture, from: (u: number, v: number) => readonly [number, number]): Picture {
  const { width, height, data } = picture;
  const changed = new Uint8Array(data.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i += 3) {
      const [u, v] = from((x + 0.5) / width, (y + 0.5) / height);
      const column = max(0, min(width - 1, floor(u * width)));
      const row = max(0, min(height - 1, floor(v * height)));
      const at = (row * width + column) * 3;
      changed[i] = data[at] as number;
      changed[i + 1] = data[at + 1] as number;
      changed[i + 2] = data[at + 2] as number;
    }
  }
  return { width, height, data: changed };
}

/** Mean over `radius` pixels to each side, across or down. */
function averaged({ width, height, data }: Picture, radius: number, isAcross: boolean): Picture {
  const changed = new Uint8Array(data.length);
  const [lines, length] = isAcross ? [height, width] : [width, height];
  const [lineStep, step] = isAcross ? [width * 3, 3] : [3, width * 3];
  for (let line = 0; line < lines; line++) {
    for (let channel = 0; channel < 3; channel++) {
      const first = line * lineStep + channel;
      const at = (i: number) => data[first + max(0, min(length - 1, i)) * step] as number;
      let sum = 0;
      for (let i = -radius; i <= radius; i++) sum += at(i);
      for (let i = 0; i < length; i++) {
        changed[first + i * step] = sum / (2 * radius + 1) + 0.5;
        sum += at(i + radius + 1) - at(i - radius);
      }
    }
  }
  return { width, height, data: changed };
}

const blurred = (picture: Picture, radius: number): Picture => {
  let blur = picture;
  for (const isAcross of [true, false, true, false]) blur = averaged(blur, radius, isAcross);
  return blur;
};

const pixelsOf = ({ width }: Picture, share: number): number => max(1, round(share * width));

type Spot = { readonly u: number; readonly v: number; readonly radius: number };

const spots = (random: Random, count: number, radiusMin: number, radiusMax: number): readonly Spot[] =>
  Array.from({ length: count }, () => ({
    u: random(),
    v: random(),
    radius: radiusMin + (radiusMax - radiusMin) * random(),
  }));

/** 1 inside a spot, 0 outside, soft between. */
function cover(of: readonly Spot[], u: number, v: number): number {
  let most = 0;
  for (const spot of of) {
    const distance = hypot(u - spot.u, v - spot.v) / spot.radius;
    most = max(most, min(1, max(0, 1.5 * (1 - distance))));
  }
  return most;
}

const mixed = (a: Picture, b: Picture, share: (u: number, v: number) => number): Picture => {
  let i = 0;
  return each(a, (value, _, u, v) => {
    const part = share(u, v);
    return value + part * ((b.data[i++] as number) - value);
  });
};

const gains = (picture: Picture, red: number, green: number, blue: number): Picture =>
  each(picture, (value, channel) => value * (channel === 0 ? red : channel === 1 ? green : blue));

const grey = (picture: Picture, share: number): Picture => {
  const { data } = picture;
  let i = 0;
  return each(picture, (value, channel) => {
    const at = i++ - channel;
    const luma = 0.299 * (data[at] as number) + 0.587 * (data[at + 1] as number) + 0.114 * (data[at + 2] as number);
    return value + share * (luma - value);
  });
};

function streaks(picture: Picture, severity: number, random: Random): Picture {
  const drops = Array.from({ length: round(30 + 170 * severity) }, () => ({
    u: random(),
    v: random(),
    length: 0.05 + 0.12 * random(),
  }));
  const slant = 0.3 * (random() - 0.5);
  const { width, height } = picture;
  const light = new Float32Array(width * height);
  for (const { u, v, length } of drops) {
    for (let step = 0; step < length * height; step++) {
      const [x, y] = [floor((u + (slant * step) / height) * width), floor(v * height) + step];
      if (x >= 0 && x < width && y < height) light[y * width + x] = 0.35 + 0.4 * severity;
    }
  }
  let i = 0;
  return each(picture, (value) => {
    const share = light[floor(i++ / 3)] as number;
    const dull = value + 0.25 * severity * (120 - value);
    return dull + share * (210 - dull);
  });
}

function flakes(picture: Picture, severity: number, random: Random): Picture {
  const of = spots(random, round(20 + 80 * severity), 0.008, 0.03);
  const lifted = each(picture, (value) => value + 0.3 * severity * (215 - value));
  return each(lifted, (value, _, u, v) => value + 0.9 * cover(of, u, v) * (245 - value));
}

function noisy(picture: Picture, severity: number, random: Random): Picture {
  const sd = 12 + 40 * severity;
  return each(picture, (value) => value + sd * 1.73 * (random() + random() + random() + random() - 2));
}

/** The same pixels of every picture are stuck: `random` is the camera's. */
const stuck = (picture: Picture, severity: number, random: Random): Picture => {
  const { width, height } = picture;
  const dead = new Map<number, number>();
  const count = max(1, round(0.06 * severity * width * height));
  for (let i = 0; i < count; i++) dead.set(floor(random() * width * height), random() < 0.5 ? 0 : 255);
  let i = 0;
  return each(picture, (value) => dead.get(floor(i++ / 3)) ?? value);
};

const deadLines = (picture: Picture, severity: number, random: Random): Picture => {
  const isColumn = random() < 0.5;
  const lines = Array.from({ length: 1 + round(5 * severity) }, () => ({
    at: random(),
    width: 0.01 + 0.03 * severity,
    value: random() < 0.5 ? 0 : 230,
  }));
  return each(
    picture,
    (value, _, u, v) => lines.find(({ at, width }) => abs((isColumn ? u : v) - at) < width)?.value ?? value,
  );
};

function halfCovered(picture: Picture, severity: number, random: Random): Picture {
  const side = floor(4 * random());
  const part = 0.2 + 0.5 * severity;
  const shade = 15 + 60 * random();
  return each(picture, (value, _, u, v) => {
    const depth = [u, 1 - u, v, 1 - v][side] as number;
    return value + min(1, max(0, 1 + (part - depth) / 0.08)) * (shade - value);
  });
}

const same: Change = (picture) => picture;

export const cameraFaults: readonly CameraFault[] = [
  { name: "dark", place: "both", change: (picture, s) => each(picture, (value) => value * (1 - 0.2 - 0.6 * s)) },
  {
    name: "glare",
    place: "both",
    change: (picture, s) => each(picture, (value) => value * (1 + 0.6 * s) + 15 + 45 * s),
  },
  {
    name: "haze",
    place: "site",
    change: (picture, s) => each(picture, (value) => value + (0.2 + 0.55 * s) * (190 - value)),
  },
  { name: "rain", place: "site", change: streaks },
  { name: "snow", place: "site", change: flakes },
  { name: "warm-light", place: "both", change: (picture, s) => gains(picture, 1.1 + 0.3 * s, 1, 0.85 - 0.45 * s) },
  { name: "cold-light", place: "both", change: (picture, s) => gains(picture, 0.88 - 0.4 * s, 1, 1.1 + 0.3 * s) },
  {
    name: "out-of-focus",
    place: "camera",
    change: (picture, s) => blurred(picture, pixelsOf(picture, 0.01 + 0.04 * s)),
  },
  {
    name: "motion-blur",
    place: "camera",
    change: (picture, s, random) => averaged(picture, pixelsOf(picture, 0.03 + 0.09 * s), random() < 0.5),
  },
  { name: "sensor-noise", place: "camera", change: noisy },
  { name: "dead-pixels", place: "camera", change: stuck },
  { name: "dead-lines", place: "camera", change: deadLines },
  {
    name: "banding",
    place: "camera",
    change: (picture, s, random) => {
      const [phase, bands] = [random(), 3 + 5 * random()];
      return each(picture, (value, _, _u, v) => value * (1 + (0.15 + 0.5 * s) * sin(6.28 * (bands * v + phase))));
    },
  },
  {
    name: "hard-compression",
    place: "camera",
    change: same,
    encode: (image, quality, s) =>
      image.jpeg({ quality: max(3, round(quality * (0.45 - 0.38 * s))), optimizeCoding: false }),
  },
  {
    name: "other-encoder",
    place: "camera",
    change: same,
    encode: (image, quality, s) =>
      image.jpeg({
        quality,
        chromaSubsampling: "4:4:4",
        optimizeCoding: true,
        ...(s > 0.5 && { quantisationTable: 3 }),
      }),
  },
  {
    name: "low-resolution",
    place: "camera",
    change: (picture, s) => {
      const step = 2 + 4 * s;
      return moved(picture, (u, v) => {
        const [x, y] = [u * picture.width, v * picture.height];
        return [(floor(x / step) + 0.5) * (step / picture.width), (floor(y / step) + 0.5) * (step / picture.height)];
      });
    },
  },
  {
    name: "channels-swapped",
    place: "camera",
    change: (picture) => {
      const { data } = picture;
      let i = 0;
      return each(picture, (_, channel) => data[i++ - channel + (2 - channel)] as number);
    },
  },
  { name: "greyscale", place: "camera", change: (picture, s) => grey(picture, 0.6 + 0.4 * s) },
  { name: "upside-down", place: "camera", change: (picture) => moved(picture, (u, v) => [1 - u, 1 - v]) },
  { name: "mirrored", place: "camera", change: (picture) => moved(picture, (u, v) => [1 - u, v]) },
  {
    name: "zoomed-in",
    place: "camera",
    change: (picture, s) =>
      moved(picture, (u, v) => {
        const part = 0.85 - 0.4 * s;
        return [0.5 + part * (u - 0.5), 0.5 + part * (v - 0.5)];
      }),
  },
  {
    name: "moved",
    place: "camera",
    change: (picture, s, random) => {
      const angle = 6.28 * random();
      const by = 0.1 + 0.25 * s;
      return moved(picture, (u, v) => [u + by * cos(angle), v + by * sin(angle)]);
    },
  },
  {
    name: "covered",
    place: "camera",
    change: (picture, s, random) => {
      const shade = 5 + 25 * random();
      return each(picture, (value) => value + (0.85 + 0.15 * s) * (shade - value));
    },
  },
  { name: "half-covered", place: "camera", change: halfCovered },
  {
    name: "dirty-lens",
    place: "camera",
    change: (picture, s, random) => {
      const of = spots(random, round(3 + 7 * s), 0.06, 0.12 + 0.12 * s);
      const soft = blurred(picture, pixelsOf(picture, 0.05));
      const dim = each(soft, (value) => 0.55 * value + 20);
      return mixed(picture, dim, (u, v) => (0.5 + 0.5 * s) * cover(of, u, v));
    },
  },
  {
    name: "fogged-lens",
    place: "camera",
    change: (picture, s, random) => {
      const [u0, v0] = [0.3 + 0.4 * random(), 0.3 + 0.4 * random()];
      const soft = each(
        blurred(picture, pixelsOf(picture, 0.03 + 0.04 * s)),
        (value) => value + (0.3 + 0.4 * s) * (185 - value),
      );
      return mixed(picture, soft, (u, v) => min(1, 1.25 - 1.2 * hypot(u - u0, v - v0)));
    },
  },
];

/** Of which a codebook has an example of each fault, each at another place of the picture. */
export const severities = [0.1, 0.45, 0.9] as const;
/** Larger frames are reduced first: a fault looks the same in them. Not for a model that takes frames of one size as they are. */
const SIDE_MAX = 96;

/** A frame as it is compared, without a fault. */
export async function plainFrame(
  jpeg: Uint8Array,
  isReduced: boolean,
): Promise<{ readonly picture: Picture; readonly quality: number; readonly isGrey: boolean }> {
  const image = sharp(jpeg);
  const { channels = 3 } = await image.metadata();
  const sized = isReduced ? image.resize(SIDE_MAX, SIDE_MAX, { fit: "inside", withoutEnlargement: true }) : image;
  const { data, info } = await sized.toColourspace("srgb").raw().toBuffer({ resolveWithObject: true });
  const rgb =
    info.channels === 3
      ? new Uint8Array(data)
      : Uint8Array.from(
          { length: info.width * info.height * 3 },
          (_, i) => data[floor(i / 3) * info.channels] as number,
        );
  return {
    picture: { width: info.width, height: info.height, data: rgb },
    quality: jpegQuality(jpeg),
    isGrey: channels < 3,
  };
}

/** `camera`: where in the picture a local fault is; `frame`: noise that is different in every frame. */
export async function faultyJpeg(
  { picture, quality, isGrey }: Awaited<ReturnType<typeof plainFrame>>,
  fault: CameraFault | null,
  severity: number,
  camera: number,
  frame: number,
): Promise<Uint8Array> {
  const isOfFrame = fault !== null && (fault.change === noisy || fault.change === streaks || fault.change === flakes);
  const random = seededRandom(isOfFrame ? camera * 100_003 + frame : camera);
  const { width, height, data } = fault === null ? picture : fault.change(picture, severity, random);
  const image = sharp(data, { raw: { width, height, channels: 3 } });
  const coloured = isGrey ? image.toColourspace("b-w") : image;
  const made = fault?.encode?.(coloured, quality, severity) ?? coloured.jpeg({ quality, optimizeCoding: false });
  return new Uint8Array(await made.toBuffer());
}
