/** Roads on which a table stops being right, as people who drive there would describe it; none of them knows how a table is weighed. */
import type { Random } from "@tributary/kernel";
import { drawn } from "./drawn.ts";
import { type Mixes, type Photo, PLACES } from "./stream.ts";

/** Frames until a road changes, where it does. */
export const CHANGES_AT = 600;
export const FRAMES = 1_300;

/** What a table was trained with. */
export type Teaching = "right" | "swapped" | "poisoned";

export type Road = {
  readonly name: string;
  readonly taught: Teaching;
  /** Shares of the classes that pass at a frame. */
  readonly mixAt: (frame: number, place: number, hour: number) => readonly number[];
  /** Where the vehicle believes to be. */
  readonly claimed: (frame: number, place: number) => number;
  /** Only photos that perception is unsure of. */
  readonly isDim: boolean;
  readonly isControl: boolean;
  /** Alternatives are compared on it. */
  readonly isHard: boolean;
};

type Change = Partial<Omit<Road, "name">>;

/** `city`: the one that the table is of; `other`: one with other streets under the same names. */
export function roadsOf(city: Mixes, other: Mixes): readonly Road[] {
  const isOver = (frame: number) => frame >= CHANGES_AT;
  const then = (after: Mixes): Road["mixAt"] => {
    return (frame, place, hour) => (isOver(frame) ? after : city)(place, hour);
  };
  const everyOther = (frames: number): Road["mixAt"] => {
    return (frame, place, hour) => (Math.floor(frame / frames) % 2 === 0 ? city : other)(place, hour);
  };
  const exchanged = (place: number, hour: number) => city(place, hour).map((_, i, mix) => mix.at(i - 1) as number);
  const road = (name: string, change: Change): Road => ({
    ...{ name, taught: "right", mixAt: (_, place, hour) => city(place, hour), claimed: (_, place) => place },
    ...{ isDim: false, isControl: false, isHard: false },
    ...change,
  });
  return [
    road("as the table says (control)", { isControl: true }),
    road("road works: other traffic everywhere at once", { mixAt: then(other) }),
    road("the map is off by one cell from then on", {
      claimed: (frame, place) => (isOver(frame) ? (place + 1) % PLACES : place),
    }),
    road("another city with the same names of places", { mixAt: (_, place, hour) => other(place, hour) }),
    road("a season: the traffic turns over 500 frames", { mixAt: seasonOf(city, other) }),
    road("new houses: every other place has changed", {
      mixAt: (frame, place, hour) => (isOver(frame) && place % 2 === 1 ? other : city)(place, hour),
    }),
    road("in and out of the changed part, 150 frames each", { mixAt: everyOther(150) }),
    road("in and out of it, 20 frames each", { mixAt: everyOther(20) }),
    road("market day: all classes are as frequent", { mixAt: then((place, hour) => city(place, hour).map(() => 0.1)) }),
    road("a class that was hardly seen is 30 % of all", { mixAt: then(newcomer(city)) }),
    road("each class is where the one before it was", { mixAt: then(exchanged), isHard: true }),
    road("trained with swapped labels", { taught: "swapped", isHard: true }),
    road("poisoned: the counts of the next class", { taught: "poisoned" }),
    road("dusk: road works, and perception is unsure", { mixAt: then(other), isDim: true }),
    road("dusk: each class is where the one before it was", { mixAt: then(exchanged), isDim: true, isHard: true }),
    road("dusk: trained with swapped labels", { taught: "swapped", isDim: true }),
  ];
}

const SEASON_FRAMES = 500;

function seasonOf(city: Mixes, other: Mixes): Road["mixAt"] {
  return (frame, place, hour) => {
    const turned = Math.min(1, Math.max(0, (frame - CHANGES_AT) / SEASON_FRAMES));
    const next = other(place, hour);
    return city(place, hour).map((share, i) => (1 - turned) * share + turned * (next[i] as number));
  };
}

const newcomer =
  (city: Mixes): Mixes =>
  (place, hour) => {
    const mix = city(place, hour);
    const rare = mix.indexOf(Math.min(...mix));
    const left = 1 - (mix[rare] as number);
    return mix.map((share, i) => (i === rare ? 0.3 : (0.7 * share) / left));
  };

/** How many frames a vehicle stays at a place, and an object before the camera, on average. */
export type Pace = { readonly stay: number; readonly object: number };

export type RoadFrame = { readonly photo: Photo; readonly place: number; readonly quarter: number };

/** One drive. `frames`: from `start` on, by the road's own count. */
export function* driveOn(
  road: Road,
  photos: ReadonlyMap<number, readonly Photo[]>,
  pace: Pace,
  random: Random,
  [start, end]: readonly [number, number] = [0, FRAMES],
): Generator<RoadFrame> {
  let [place, quarter] = [0, 0];
  let photo: Photo | undefined;
  for (let frame = start; frame < end; frame++) {
    if (frame === start || random() < 1 / pace.stay) {
      place = Math.floor(PLACES * random());
      quarter = Math.floor(4 * random());
      photo = undefined;
    }
    if (photo === undefined || random() < 1 / pace.object) {
      const own = photos.get(drawn(road.mixAt(frame, place, 6 * quarter), random)) as readonly Photo[];
      photo = own[Math.floor(own.length * random())] as Photo;
    }
    yield { photo, place: road.claimed(frame, place), quarter };
  }
}
