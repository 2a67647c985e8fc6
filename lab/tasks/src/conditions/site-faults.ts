// What happens to a place, and so to all of its cameras: weather beyond the usual, light, and surroundings. The site's seed decides what
// its cameras share (the wind, the new floor); each camera's seed decides how much of it this one sees.
import { between, type Fault, type Moment } from "./fault.ts";
import {
  borderColour,
  clouds,
  drawDisc,
  drawLine,
  emptyMask,
  grained,
  maskOf,
  noise,
  type Point,
  randomOf,
  seedOf,
  signed,
} from "./fields.ts";
import {
  blended,
  type Colour,
  inChannels,
  type Picture,
  shaded,
  sideOf,
  smoothStep,
  tinted,
  toned,
  unit,
  veiled,
  withPixels,
} from "./picture.ts";

const { abs, exp, floor, hypot, max, min, round } = Math;

export const siteFaults: readonly Fault[] = [
  {
    name: "rain",
    about: "heavy rain, and a wet ground that mirrors",
    cause: "site",
    place: "site",
    apply: rainy,
  },
  {
    name: "snow",
    about: "snow falls, and stays on the ground",
    cause: "site",
    place: "site",
    apply: snowy,
  },
  {
    name: "fog",
    about: "thick fog, smoke or dust in the air",
    cause: "site",
    place: "site",
    apply: foggy,
  },
  {
    name: "lights-out",
    about: "lamps failed: the place is as dark as at dusk",
    cause: "site",
    place: "site",
    apply: dark,
  },
  {
    name: "new-lamp",
    about: "a lamp of another colour was fitted, and lights one spot",
    cause: "site",
    place: "site",
    apply: newLamp,
  },
  {
    name: "low-sun",
    about: "the low sun shines into the lens and throws long, hard shadows",
    cause: "site",
    place: "site",
    apply: lowSun,
  },
  {
    name: "new-background",
    about: "another floor, wall or belt is behind the objects",
    cause: "site",
    place: "site",
    apply: newBackground,
  },
  {
    name: "flickering-lamp",
    about: "a lamp flickers: frames are dark or bright, and banded by the rolling shutter",
    cause: "site",
    place: "site",
    apply: flickering,
  },
];

/** This camera's share of the site's weather. */
function exposed(name: string, at: Moment): number {
  return 0.85 + 0.15 * randomOf(name, "exposed", at.camera)();
}

function rainy(picture: Picture, at: Moment): Picture {
  const { width, height, channels } = picture;
  const side = sideOf(picture);
  const wind = 0.35 * signed(randomOf("rain", at.site ?? 0)) + 0.08 * signed(randomOf("rain", "camera", at.camera));
  const random = randomOf("rain", at.camera, at.frame);
  const much = exposed("rain", at);
  const dull = toned(picture, (value) => (105 + (value - 105) * between(0.93, 0.6, at)) * between(0.95, 0.78, at));
  // The lower part mirrors what is above it, in ripples.
  const horizon = round(height * 0.62);
  const mirror = Uint8ClampedArray.from(dull.data);
  for (let y = horizon; y < height; y++) {
    const ripple = round(side * 0.015 * Math.sin(y * (60 / side) + at.frame));
    for (let x = 0; x < width; x++) {
      const from = ((2 * horizon - y) * width + min(width - 1, max(0, x + ripple))) * channels;
      for (let c = 0, i = (y * width + x) * channels; c < channels; c++)
        mirror[i++] = (dull.data[from + c] as number) * 0.9 + 14;
    }
  }
  const wet = maskOf(picture, (_, v) => between(0.15, 0.55, at) * smoothStep(0.1, 0.2, v));
  const mask = emptyMask(picture);
  for (let left = between(20, 170, at) * much * ((width * height) / (side * side)); left > 0; left--) {
    const from: Point = [random() * width * 1.2 - 0.1 * width, random() * height * 1.2 - 0.2 * height];
    const length = side * (0.06 + 0.14 * random());
    const to: Point = [from[0] + wind * length, from[1] + length];
    drawLine(mask, picture, from, to, side * (0.005 + 0.008 * random()), 0.45 + 0.4 * random());
  }
  return veiled(blended(dull, withPixels(dull, mirror), wet), mask, [208, 214, 221], between(0.5, 0.9, at));
}

function snowy(picture: Picture, at: Moment): Picture {
  const { width, height } = picture;
  const side = sideOf(picture);
  const random = randomOf("snow", at.camera, at.frame);
  const wind = signed(randomOf("snow", at.site ?? 0));
  const much = exposed("snow", at);
  const settled = clouds(picture, seedOf("snow", at.camera), 5);
  const deep = between(-0.08, 0.45, at) * much;
  const ground = maskOf(
    picture,
    (_, v, pixel) =>
      between(0.75, 0.95, at) * smoothStep(0.42, 0.58, (settled[pixel] as number) + (v - 0.5) * 0.8 + deep),
  );
  const hazy = toned(picture, (value) => value + (196 - value) * between(0.05, 0.35, at));
  const flakes = emptyMask(picture);
  for (let left = between(22, 200, at) * much * ((width * height) / (side * side)); left > 0; left--) {
    const middle: Point = [random() * width, random() * height];
    const radius = side * (0.004 + 0.022 * random() ** 3);
    // A flake falls while the shutter is open.
    for (const gone of [0, 0.8, 1.6])
      drawDisc(flakes, picture, [middle[0] + wind * gone * radius, middle[1] + gone * radius], radius, 0.6, 0.95);
  }
  return veiled(veiled(hazy, ground, [233, 238, 245]), flakes, [250, 251, 253], 0.95);
}

function foggy(picture: Picture, at: Moment): Picture {
  const patches = clouds(picture, seedOf("fog", at.site ?? 0, at.camera), 2.2, at.hour * 3 + at.frame * 0.02, 0);
  const thick = between(0.32, 0.9, at) * exposed("fog", at);
  // What is higher in a picture is farther away.
  const mask = maskOf(picture, (_, v, pixel) =>
    unit(thick * (1.02 - 0.3 * v) + 0.35 * ((patches[pixel] as number) - 0.5)),
  );
  // Some sites have dust, most have fog.
  const air: Colour = randomOf("fog", "air", at.site ?? 0)() < 0.25 ? [196, 176, 142] : [201, 205, 209];
  return veiled(picture, mask, air);
}

function dark(picture: Picture, at: Moment): Picture {
  const left = between(0.5, 0.1, at) * (0.8 + 0.4 * randomOf("lights-out", at.camera)());
  const dim = toned(tinted(picture, [0.82, 0.95, 1.2]), (value) => value * left + 3);
  const random = randomOf("lights-out", at.camera, at.frame);
  return grained(dim, random, between(3, 9, at), between(1, 4, at));
}

const LAMPS: readonly Colour[] = [
  [1.25, 0.78, 0.34],
  [1.3, 0.6, 0.15],
  [0.62, 0.92, 1.3],
];

function newLamp(picture: Picture, at: Moment): Picture {
  const shared = randomOf("new-lamp", at.site ?? 0);
  const lamp = LAMPS[floor(shared() * LAMPS.length)] as Colour;
  const own = randomOf("new-lamp", at.camera);
  const [x, y] = [0.3 * signed(shared) + 0.1 * signed(own), 0.3 * signed(shared) + 0.1 * signed(own)];
  const wide = between(0.55, 0.26, at);
  const rest = between(0.72, 0.22, at);
  const spot = maskOf(picture, (u, v) => {
    const away = hypot(u - x, v - y) / wide;
    return rest + (between(1.2, 1.9, at) - rest) * exp(-away * away);
  });
  const share = between(0.45, 1, at);
  const [r, g, b] = lamp;
  return shaded(tinted(picture, [1 + share * (r - 1), 1 + share * (g - 1), 1 + share * (b - 1)]), spot);
}

function lowSun(picture: Picture, at: Moment): Picture {
  const shared = randomOf("low-sun", at.site ?? 0);
  const own = randomOf("low-sun", at.camera);
  // The sun moves on by the hour.
  const sun: Point = [0.7 * signed(shared) + 0.12 * signed(own) + 0.03 * (at.hour % 6), -0.42 + 0.1 * signed(own)];
  const slant = 0.9 * signed(shared);
  const bars = Array.from({ length: 4 }, () => [0.9 * signed(own), 0.05 + 0.07 * own()] as const);
  const depth = between(0.25, 0.8, at);
  const shadow = maskOf(picture, (u, v) => {
    const across = u - sun[0] * 0.3 - slant * v;
    let shade = 0;
    for (const [middle, half] of bars) shade = max(shade, smoothStep(half + 0.012, half - 0.012, abs(across - middle)));
    return 1.12 - depth * shade;
  });
  const glare = maskOf(picture, (u, v) => {
    const away = hypot(u - sun[0], v - sun[1]);
    const rays = 0.8 + 0.2 * Math.cos(9 * Math.atan2(v - sun[1], u - sun[0]));
    return unit(between(0.45, 1.5, at) * exp((-away * rays) / between(0.28, 0.6, at)));
  });
  // Ghosts of the aperture stand on the line through the middle.
  const side = sideOf(picture);
  const ghosts = emptyMask(picture);
  for (const [along, size] of [
    [-0.4, 0.05],
    [-0.8, 0.09],
    [0.35, 0.035],
  ] as const)
    drawDisc(
      ghosts,
      picture,
      [picture.width / 2 + sun[0] * along * side, picture.height / 2 + sun[1] * along * side],
      size * side,
      0.3,
      0.5,
    );
  const lit = shaded(tinted(picture, [1.1, 1, 0.82]), shadow);
  return veiled(veiled(lit, ghosts, [255, 214, 150], between(0.5, 0.9, at)), glare, [255, 243, 214]);
}

const FLOORS: readonly Colour[] = [
  [172, 120, 72],
  [84, 92, 104],
  [70, 126, 74],
  [196, 190, 176],
  [150, 66, 52],
];

/** The background is what resembles the border, and what is far from the middle: no task here has outlines of its objects. */
function newBackground(picture: Picture, at: Moment): Picture {
  const shared = randomOf("new-background", at.site ?? 0);
  const own = randomOf("new-background", at.camera);
  const { channels, data } = picture;
  const side = sideOf(picture);
  const old = borderColour(picture);
  // The new floor differs in brightness from the old one, so that it shows in grey as well.
  const brightness = (colour: readonly number[]) => colour.reduce((sum, value) => sum + value, 0) / colour.length;
  const candidates = FLOORS.map((ground) => inChannels(picture, ground));
  const first = floor(shared() * FLOORS.length);
  const apart = candidates.map((_, i) => candidates[(first + i) % candidates.length] as readonly number[]);
  const ground =
    apart.find((colour) => abs(brightness(colour) - brightness(old)) > 40) ?? (apart[0] as readonly number[]);
  const [tiles, turn] = [3 + 4 * shared(), 0.5 * signed(shared) + 0.1 * signed(own)];
  const planks = shared() < 0.5;
  const grit = noise(picture, seedOf("floor", at.camera), 30);
  const [cos, sin] = [Math.cos(turn) * tiles, Math.sin(turn) * tiles];
  const light = maskOf(picture, (u, v, pixel) => {
    const p = u * cos + v * sin + 20;
    const q = v * cos - u * sin + 20;
    const gap = max(gaps(p), planks ? 0 : gaps(q));
    const piece = 0.9 + 0.05 * ((floor(p) * 7 + (planks ? 0 : floor(q) * 5)) % 5);
    return piece * (1 - 0.5 * gap) * (0.85 + 0.3 * (grit[pixel] as number));
  });
  const near = between(0.5, 0.27, at);
  const share = maskOf(picture, (u, v, pixel) => {
    let unlike = 0;
    for (let c = 0; c < channels; c++) unlike += abs((data[pixel * channels + c] as number) - (old[c] as number));
    const like = smoothStep(95, 30, unlike / channels);
    const away = hypot((u * side) / picture.width, (v * side) / picture.height);
    return 0.97 * max(smoothStep(near, near + 0.1, away), like * smoothStep(near - 0.15, near, away));
  });
  const flat = toned(picture, (_, channel) => ground[channel] as number);
  return blended(picture, shaded(flat, light), share);
}

/** The share of the gap between two tiles at this place: 1 in its middle. */
function gaps(place: number): number {
  const within = place - floor(place);
  return smoothStep(0.08, 0.03, min(within, 1 - within));
}

function flickering(picture: Picture, at: Moment): Picture {
  const own = randomOf("flickering-lamp", at.camera);
  // The lamp's beat with the frame rate is the site's; which rows are read when is the camera's.
  const beat = 1.2 + randomOf("flickering-lamp", at.site ?? 0)();
  const [phase, bands] = [own(), 1.2 + 1.6 * own()];
  const drops = randomOf("flickering-lamp", at.site ?? 0, at.frame)() < 0.35;
  const depth = between(0.3, 0.9, at);
  const rest = drops ? 1 - between(0.3, 0.8, at) : 1.08;
  const factor = maskOf(picture, (_, v) => {
    const swing = 0.5 + 0.5 * Math.sin(2 * Math.PI * (phase + v * bands) + at.frame * beat);
    return rest * (1 - depth * smoothStep(0.25, 0.8, swing));
  });
  return shaded(picture, factor);
}
