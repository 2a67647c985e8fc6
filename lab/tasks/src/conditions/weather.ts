// Clean life: what cameras see while nothing is wrong. Days with sunrise and sunset, weather that a site's cameras share, nights by lamp
// or in infrared, and each camera's own small differences and slow drift. W1. Everything is a function of site, camera, time and seed: any
// hour can be looked up without the ones before it. W2. Nothing hides what a camera is there for, and nothing jumps; a night in infrared
// changes a colour picture most.
import { drawLine, emptyMask, grained, type Point, randomOf, signed } from "./fields.ts";
import {
  blended,
  type Colour,
  inChannels,
  type Picture,
  recoloured,
  sideOf,
  smoothStep,
  toned,
  veiled,
} from "./picture.ts";
import { blurred, moved, viewed } from "./resample.ts";
import { drawScene, type Scene, sceneAt } from "./scenes.ts";
import { DAY_MS, dayOf, hourOf, type Where } from "./where.ts";

export type Conditions = {
  /** Factor of brightness, after the camera's own control of exposure. */
  readonly brightness: number;
  /** From -1 (blue, as in shade) over 0 to 1 (a warm lamp, a low sun). */
  readonly warmth: number;
  /** Factor of contrast: diffuse light has less. */
  readonly contrast: number;
  /** Share of what is seen that mist covers. */
  readonly mist: number;
  /** From 0 (dry) to 1. */
  readonly rain: number;
  /** Share of infrared in the light: 1 is a grey picture. */
  readonly infrared: number;
  /** Levels of the sensor's noise. */
  readonly grain: number;
  /** Where the camera looks beside its usual place, in shares of the side; `turn` in radians. */
  readonly aim: { readonly x: number; readonly y: number; readonly turn: number; readonly zoom: number };
  /** Factors of the camera's own white balance. */
  readonly balance: Colour;
  /** Blur in shares of the side. */
  readonly defocus: number;
  readonly scene: Scene;
};

/** Lit by lamps all day; by daylight and lamps; by daylight and the cameras' own infrared lamps. */
type Light = "indoors" | "lamps" | "infrared";
type Weather = { readonly cloud: number; readonly rain: number; readonly mist: number };

export function conditionsAt(where: Where): Conditions {
  const { site, time, seed } = where;
  const hour = hourOf(time);
  const outdoors = lightOf(site, seed) !== "indoors";
  const { cloud, rain, mist } = weatherAt(site, time, seed);
  const sun = sunAt(site, time, seed);
  const day = smoothStep(-0.15, 0.3, sun);
  const low = day * (1 - smoothStep(0, 0.5, sun)) * (1 - cloud);
  const infrared = lightOf(site, seed) === "infrared" ? 1 - smoothStep(0, 0.4, day) : 0;
  // A window lets a little of the day in.
  const outside = outdoors ? 1 : 0.15;
  const night = 0.8 + 0.06 * infrared;
  const byDay = 1.03 - 0.16 * cloud;
  const wobble = slow(where, "exposure", 5) * 0.04;
  const bright = outdoors ? night + (byDay - night) * day : 0.98 + 0.04 * (day - 0.5);
  const lamp = outdoors ? (1 - day) * 0.3 * (1 - infrared) : 0.06;
  return {
    brightness: bright * (1 + wobble),
    warmth: lamp + outside * (0.45 * low - 0.12 * cloud * day),
    contrast: 1 - outside * 0.14 * cloud,
    mist: outdoors ? mist * 0.35 * smoothStep(2, 5, hour) * smoothStep(11, 7, hour) : 0,
    rain: outdoors ? rain : 0,
    infrared,
    grain: 1.2 + (outdoors ? 2.3 * (1 - day) : 0.4),
    ...ownOf(where),
    scene: sceneAt(where),
  };
}

/** What a camera sees under these conditions; `frame` seeds what changes from frame to frame. */
export function applyConditions(picture: Picture, conditions: Conditions, frame: number): Picture {
  const { aim, brightness, warmth, contrast, mist, rain, infrared, grain, balance, defocus, scene } = conditions;
  const random = randomOf("clean", frame);
  const side = sideOf(picture);
  let seen = drawScene(picture, scene);
  seen = viewed(
    seen,
    moved(aim.x + 0.002 * signed(random), aim.y + 0.002 * signed(random), aim.turn, aim.zoom),
    "mirror",
  );
  if (defocus * side > 0.25) seen = blurred(seen, defocus * side);
  if (infrared > 0) seen = infraredOf(seen, infrared);
  // A camera adjusts its exposure all the time.
  const exposure = brightness * (1 + 0.02 * signed(random));
  const colour = (1 - infrared) * warmth;
  const factors = inChannels(seen, [
    exposure * balance[0] * (1 + 0.16 * colour),
    exposure * balance[1] * (1 - 0.03 * colour),
    exposure * balance[2] * (1 - 0.24 * colour),
  ]);
  const air = inChannels(seen, [198, 203, 208]);
  seen = toned(seen, (value, channel) => {
    const lit = 112 + (value * (factors[channel] as number) - 112) * contrast;
    return lit + mist * ((air[channel] as number) - lit);
  });
  if (rain > 0.05) seen = drizzled(seen, rain, random);
  return grained(seen, random, grain);
}

function lightOf(site: number, seed: number): Light {
  const drawn = randomOf("light", site, seed)();
  return drawn < 0.4 ? "indoors" : drawn < 0.7 ? "lamps" : "infrared";
}

/** The sun's height: 0 at the horizon, about 1 at a summer's noon. Days grow longer or shorter over the weeks. */
function sunAt(site: number, time: number, seed: number): number {
  const random = randomOf("sun", site, seed);
  const noon = 12 + 0.8 * signed(random);
  const season = 0.3 * signed(random) + 0.004 * signed(random) * (time / DAY_MS);
  return Math.cos(((hourOf(time) - noon) / 24) * 2 * Math.PI) + season;
}

/** How often a day of one kind (fair, mixed, wet) follows another. */
const NEXT_DAY = [
  [0.7, 0.22, 0.08],
  [0.3, 0.45, 0.25],
  [0.15, 0.45, 0.4],
] as const;
/** How often an hour is clear, cloudy, overcast or rainy, by kind of day. */
const HOURS = [
  [0.7, 0.28, 0.02, 0],
  [0.25, 0.45, 0.25, 0.05],
  [0.05, 0.2, 0.4, 0.35],
] as const;
const HOUR_WEATHER = [
  { cloud: 0.05, rain: 0 },
  { cloud: 0.45, rain: 0 },
  { cloud: 0.9, rain: 0 },
  { cloud: 1, rain: 1 },
] as const;

/** A Markov chain of days, and one of hours within a day: what two neighbouring hours have is blended. */
function weatherAt(site: number, time: number, seed: number): Weather {
  const day = dayOf(time);
  const hour = hourOf(time);
  const next = Math.floor(hour) + 1;
  const today = hoursOf(site, day, seed);
  const from = today[next - 1] as Weather;
  const to = next < 24 ? (today[next] as Weather) : (hoursOf(site, day + 1, seed)[0] as Weather);
  const share = hour - Math.floor(hour);
  const between = (a: number, b: number) => a + (b - a) * share;
  return {
    cloud: between(from.cloud, to.cloud),
    rain: between(from.rain, to.rain),
    mist: between(from.mist, to.mist),
  };
}

function hoursOf(site: number, day: number, seed: number): readonly Weather[] {
  const days = randomOf("days", site, seed);
  let kind = 0;
  for (let i = 0; i <= day; i++) kind = drawn(NEXT_DAY[kind as 0 | 1 | 2], days());
  const random = randomOf("hours", site, day, seed);
  const mist = random() < 0.2 ? 0.5 + 0.5 * random() : 0;
  const odds = HOURS[kind as 0 | 1 | 2];
  let state = drawn(odds, random());
  return Array.from({ length: 24 }, () => {
    if (random() < 0.3) state = drawn(odds, random());
    const { cloud, rain } = HOUR_WEATHER[state as 0 | 1 | 2 | 3];
    return { cloud, rain: rain * (0.3 + 0.7 * random()), mist };
  });
}

function drawn(odds: readonly number[], uniform: number): number {
  let left = uniform;
  for (const [i, share] of odds.entries()) {
    left -= share;
    if (left < 0) return i;
  }
  return odds.length - 1;
}

/** What this camera has of its own: it was mounted and set up so, and drifts a little over the days. */
function ownOf(where: Where): Pick<Conditions, "aim" | "balance" | "defocus"> {
  const random = randomOf("own", where.camera, where.seed);
  const [x, y, turn, zoom] = [signed(random), signed(random), signed(random), signed(random)];
  const [red, blue, focus] = [signed(random), signed(random), random()];
  return {
    aim: {
      x: 0.015 * x + 0.004 * slow(where, "x", 3),
      y: 0.015 * y + 0.004 * slow(where, "y", 3),
      turn: 0.015 * turn + 0.004 * slow(where, "turn", 4),
      zoom: 1 + 0.02 * zoom,
    },
    balance: [1 + 0.03 * red + 0.015 * slow(where, "red", 2), 1, 1 + 0.03 * blue + 0.015 * slow(where, "blue", 2)],
    defocus: 0.005 * focus + 0.0015 * (1 + slow(where, "focus", 6)),
  };
}

/** A value of -1 to 1 that wanders over about so many days. */
function slow({ camera, time, seed }: Where, name: string, days: number): number {
  const random = randomOf("slow", name, camera, seed);
  const at = (time / DAY_MS / days) * 2 * Math.PI;
  return 0.6 * Math.sin(at + 7 * random()) + 0.4 * Math.sin(2.7 * at + 7 * random());
}

/** The picture by the camera's own infrared lamp: grey, and plants are paler than they look. */
function infraredOf(picture: Picture, share: number): Picture {
  const row = [0.4, 0.48, 0.12] as const;
  return blended(picture, recoloured(picture, [row, row, row], [4, 4, 4]), share);
}

function drizzled(picture: Picture, rain: number, random: () => number): Picture {
  const { width, height } = picture;
  const side = sideOf(picture);
  const mask = emptyMask(picture);
  for (let left = 22 * rain * ((width * height) / (side * side)); left > 0; left--) {
    const from: Point = [random() * width, random() * height];
    const length = side * (0.03 + 0.05 * random());
    drawLine(mask, picture, from, [from[0] + 0.1 * length, from[1] + length], side * 0.005, 0.4);
  }
  return veiled(picture, mask, [205, 210, 216]);
}
