// What cameras look at changes while nothing is wrong: things are parked at the edge of the picture and driven off, a wall fades, other
// classes come in the evening and at weekends, and frames come in bursts or not at all. As weather.ts W1: all of it is looked up by time.
import { maskOf, randomOf, signed } from "./fields.ts";
import { type Colour, inChannels, type Picture, shaded, sideOf, smoothStep, tinted, withPixels } from "./picture.ts";
import { DAY_MS, dayOf, HOUR_MS, hourOf, isWeekend, type Where } from "./where.ts";

const { abs, exp, floor, hypot, max, min, round } = Math;

/** A box that stands at the edge; its middle counted from that of the picture, all in shares of the shorter side. */
type Parked = {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly colour: Colour;
};
export type Scene = {
  /** Factor of the background's brightness, most at the edges. */
  readonly background: number;
  readonly tint: Colour;
  readonly parked: readonly Parked[];
};

const PLACES = 3;
const FRAMES_A_MINUTE_MAX = 30;

export function sceneAt({ site, camera, time, seed }: Where): Scene {
  const random = randomOf("scene", camera, seed);
  const shared = randomOf("scene", "site", site, seed);
  const [period, phase] = [6 + 8 * random(), random()];
  // The whole site's surroundings change over weeks: a season, a stock of another colour.
  const season = Math.sin((time / DAY_MS / (20 + 20 * shared()) + shared()) * 2 * Math.PI);
  const own = Math.sin((time / DAY_MS / period + phase) * 2 * Math.PI);
  return {
    background: 1 + 0.05 * season + 0.05 * own,
    tint: [1 + 0.02 * season * signed(shared), 1, 1 + 0.02 * season * signed(shared)],
    parked: Array.from({ length: PLACES }, (_, place) => parkedAt(place, camera, time, seed)).filter(
      (one) => one !== undefined,
    ),
  };
}

/** Whatever stands in one of the places at the edge of a camera's picture: something else, or nothing, every few hours. */
function parkedAt(place: number, camera: number, time: number, seed: number): Parked | undefined {
  const random = randomOf("place", place, camera, seed);
  const staysMs = (2 + 10 * random()) * HOUR_MS;
  const angle = random() * 2 * Math.PI;
  const turn = floor(time / staysMs + random());
  const now = randomOf("parked", place, camera, seed, turn);
  if (now() > 0.35) return undefined;
  const far = 0.5 / max(abs(Math.cos(angle)), abs(Math.sin(angle)));
  const shade = 50 + 130 * now();
  return {
    x: Math.cos(angle) * far,
    y: Math.sin(angle) * far,
    width: 0.12 + 0.1 * now(),
    height: 0.12 + 0.1 * now(),
    colour: [shade + 30 * signed(now), shade + 15 * signed(now), shade + 30 * signed(now)],
  };
}

export function drawScene(picture: Picture, { background, tint, parked }: Scene): Picture {
  const factor = maskOf(picture, (u, v) => 1 + (background - 1) * smoothStep(0.1, 0.5, hypot(u, v)));
  const scene = shaded(tinted(picture, tint), factor);
  const { width, height, channels } = scene;
  const side = sideOf(picture);
  const out = Uint8ClampedArray.from(scene.data);
  for (const box of parked) {
    const colour = inChannels(picture, box.colour);
    // Boxes stand at the edge of a frame of any shape.
    const [middleX, middleY] = [width / 2 + box.x * width, height / 2 + box.y * height];
    const [left, right] = [middleX - (box.width * side) / 2, middleX + (box.width * side) / 2];
    const [top, bottom] = [middleY - (box.height * side) / 2, middleY + (box.height * side) / 2];
    for (let y = max(0, round(top)); y < min(height, bottom); y++)
      for (let x = max(0, round(left)); x < min(width, right); x++) {
        // Light comes from above.
        const light = 1.15 - (0.4 * (y - top)) / (bottom - top);
        for (let c = 0, i = (y * width + x) * channels; c < channels; c++, i++)
          out[i] = 0.1 * (out[i] as number) + 0.9 * light * (colour[c] as number);
      }
  }
  return withPixels(scene, out);
}

/** The shares of a place's classes at this hour: some come by day, some at weekends, and all vary a little from day to day. */
export function mixAt(mix: readonly number[], { site, camera, time, seed }: Where): readonly number[] {
  const weekend = isWeekend(time) ? 1 : 0;
  const weights = mix.map((share, label) => {
    const random = randomOf("mix", site, label, seed);
    const own = randomOf("mix", "camera", camera, label, seed);
    const today = randomOf("mix", "day", site, label, dayOf(time), seed);
    const byHour = 0.2 * random() * Math.cos(((hourOf(time) - 24 * random()) / 24) * 2 * Math.PI);
    return share * exp(byHour + 0.2 * signed(random) * weekend + 0.1 * signed(today) + 0.1 * signed(own));
  });
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** How many frames a minute a camera sends: from 1 to 30, more by day, in bursts, and none in a silence of some minutes. */
export function framesPerMinuteAt({ camera, time, seed }: Where): number {
  const usual = FRAMES_A_MINUTE_MAX ** (0.1 + 0.65 * randomOf("rate", camera, seed)());
  const busy = isWeekend(time) ? 0.7 : 0.6 + 0.8 * smoothStep(5, 9, hourOf(time)) * smoothStep(22, 17, hourOf(time));
  const now = randomOf("rate", camera, seed, floor(time / (HOUR_MS / 6)));
  const state = now();
  if (state < 0.06) return 0;
  const rate = usual * busy * (state > 0.94 ? 3 : 0.8 + 0.4 * now());
  return min(FRAMES_A_MINUTE_MAX, max(1, rate));
}
