/** What a table costs that becomes wrong, against perception alone on the same frames, by today's rule and by the former one.
 *
 * The former rule weighed fused and plain answer by all truths since the table came, so what was right for long was trusted for long. Both
 * rules see the same drives. */

import { poisoned } from "@tributary/demo/world";
import { type Random, seededRandom } from "@tributary/kernel";
import type { WorldTable } from "@tributary/world";
import { ANSWER_FRAMES, best, type Perception, propensityOf, sharesOf, trained } from "./drive.ts";
import { CHANGES_AT, driveOn, FRAMES, type Pace, type Road, type RoadFrame, roadsOf, type Teaching } from "./roads.ts";
import { alternatives, deviceRule, formerRule, plainSharesOf, type Rule } from "./rules.ts";
import { mixesOf, type Photo, streamOf } from "./stream.ts";

export const WINDOW = 300;
const RARE = 1 / 50;
const TRAINING_FRAMES = 60_000;
/** The second of perception's shares is at least so large. */
const UNSURE = 0.05;
/** Frames that were right before, one truth in 50: 800 truths. */
const LONG_FRAMES = 40_000;
const LONG_FRAMES_AFTER = 15_000;
const LITTLE = 0.05;

/** How often a truth comes: of one frame in 50, of the random sample, of none. */
export type Truths = "rare" | "sampled" | "none";
export type Lane = { readonly truths: Truths; readonly pace: Pace; readonly name: string };

const STAY = 100;
const EACH: Pace = { stay: STAY, object: 1 };
const TEN: Pace = { stay: STAY, object: 10 };
const FIFTY: Pace = { stay: STAY, object: 50 };
export const lanes: readonly Lane[] = [
  { truths: "rare", pace: EACH, name: "1 in 50; each frame another object" },
  { truths: "rare", pace: TEN, name: "1 in 50; ten frames an object" },
  { truths: "rare", pace: FIFTY, name: "1 in 50; fifty frames an object" },
  { truths: "sampled", pace: TEN, name: "the random sample; ten frames an object" },
  { truths: "none", pace: TEN, name: "none; ten frames an object" },
];

/** Points over perception alone. */
export type Loss = {
  /** Over the 300 frames in which it is least, on average over the drives. */
  readonly worst: number;
  /** Of the average, in that window. */
  readonly error: number;
  /** Of the drives' own worst windows, one in 20 is below it. */
  readonly single: number;
  /** Over all frames. */
  readonly all: number;
};
export type WrongRow = {
  readonly road: string;
  readonly lane: string;
  readonly plain: number;
  readonly now: Loss;
  readonly former: Loss;
};

type Setting = {
  readonly first: WorldTable;
  readonly perception: Perception;
  readonly training: readonly Photo[];
  readonly test: readonly Photo[];
};

/** Of one city all that is needed to drive there. */
function cityOf(seed: number, { first, perception, training, test }: Setting) {
  const random = seededRandom(10_000 + seed);
  const [city, other] = [
    mixesOf(perception.labels.length, true, random),
    mixesOf(perception.labels.length, true, random),
  ];
  const tables = new Map<Teaching, WorldTable>();
  const stream = streamOf(training, city, TRAINING_FRAMES, random);
  const right = trained(first, stream, perception, random).table;
  tables.set("right", right).set("poisoned", poisoned(right));
  // 0 with 1, 2 with 3, and so on.
  tables.set("swapped", trained(first, stream, perception, random, (label) => label ^ 1).table);
  const byLabel = Map.groupBy(test, ({ label }) => label);
  const isUnsure = (photo: Photo) =>
    ([...sharesOf(photo, perception.temperature)].sort((a, b) => b - a)[1] ?? 0) > UNSURE;
  const dim = new Map([...byLabel].map(([label, own]) => [label, own.filter(isUnsure)] as const));
  return { roads: roadsOf(city, other), tables, photosOf: ({ isDim }: Road) => (isDim ? dim : byLabel) };
}

/** `isQuick`: without what needs many drives and photos, an object that stays for long, and dusk. */
export function wrongRows(
  isQuick: boolean,
  seeds: number,
  drives: number,
  setting: Setting,
  progress: (line: string) => void,
): readonly WrongRow[] {
  const tallies = new Map<string, Tally>();
  for (let seed = 1; seed <= seeds; seed++) {
    const { roads, tables, photosOf } = cityOf(seed, setting);
    for (const road of roads.filter(({ isDim }) => !(isQuick && isDim))) {
      for (const lane of lanes.filter(({ pace }) => !(isQuick && pace === FIFTY))) {
        const key = `${road.name}\n${lane.name}`;
        const tally = tallies.get(key) ?? new Tally(2);
        tallies.set(key, tally);
        for (let drive = 1; drive <= drives; drive++) {
          const random = seededRandom(1_000 * seed + drive);
          const table = tables.get(road.taught) as WorldTable;
          const rules = [deviceRule(table, setting.perception), formerRule(table, setting.perception)];
          tally.add(
            driven(driveOn(road, photosOf(road), lane.pace, random), rules, lane.truths, setting.perception, random),
          );
        }
      }
    }
    progress(`tables that become wrong: city ${seed} of ${seeds}`);
  }
  return [...tallies].map(([key, tally]) => {
    const [road = "", lane = ""] = key.split("\n");
    return { road, lane, plain: tally.plain, now: tally.loss(0), former: tally.loss(1) };
  });
}

/** Frames until a table that was right for 800 truths has lost its weight. Null: not within 15,000. */
export type Lost = { readonly now: number | null; readonly former: number | null };

export function weightLost(seeds: number, setting: Setting): readonly Lost[] {
  return Array.from({ length: seeds }, (_, i) => {
    const { roads, tables, photosOf } = cityOf(1 + i, setting);
    const road = roads.find(({ name }) => name.startsWith("road works")) as Road;
    const random = seededRandom(500 + i);
    const span = [CHANGES_AT - LONG_FRAMES, CHANGES_AT + LONG_FRAMES_AFTER] as const;
    const lost: { now: number | null; former: number | null } = { now: null, former: null };
    let frame = 0;
    const frames = driveOn(road, photosOf(road), { stay: STAY, object: 1 }, random, span);
    const table = tables.get("right") as WorldTable;
    const rules = { now: deviceRule(table, setting.perception), former: formerRule(table, setting.perception) };
    driven(frames, Object.values(rules), "rare", setting.perception, random, () => {
      const since = frame++ - LONG_FRAMES;
      for (const rule of ["now", "former"] as const) {
        if (since >= 0 && rules[rule].weight() < LITTLE) lost[rule] ??= since;
      }
    });
    return lost;
  });
}

/** By rule, right answers over perception's: -1, 0 or 1 for each frame. */
type Driven = { readonly plain: number; readonly gained: readonly Int8Array[] };

function driven(
  frames: Iterable<RoadFrame>,
  rules: readonly Rule[],
  truths: Truths,
  { temperature }: Perception,
  random: Random,
  onFrame: () => void = () => undefined,
): Driven {
  const gained = rules.map((): number[] => []);
  const outstanding: { readonly at: number; readonly frameId: string; readonly label: number }[] = [];
  let [at, plain] = [0, 0];
  for (const frame of frames) {
    for (let due = outstanding[0]; due !== undefined && due.at <= at; due = outstanding[0]) {
      outstanding.shift();
      for (const rule of rules) rule.truth(due.frameId, due.label);
    }
    const { photo } = frame;
    const own = plainSharesOf(photo, temperature);
    const plainRight = best(own) === photo.label ? 1 : 0;
    plain += plainRight;
    const frameId = String(at);
    for (const [i, rule] of rules.entries()) {
      gained[i]?.push((rule.answer(frame, frameId) === photo.label ? 1 : 0) - plainRight);
    }
    onFrame();
    const propensity = { rare: RARE, sampled: propensityOf(own), none: 0 }[truths];
    if (random() < propensity) outstanding.push({ at: at + ANSWER_FRAMES, frameId, label: photo.cloud });
    at += 1;
  }
  return { plain: plain / at, gained: gained.map((own) => Int8Array.from(own)) };
}

export type AlternativeRow = {
  readonly name: string;
  /** Where the table is right, over all frames; by frames an object. */
  readonly gains: readonly number[];
  /** In the worst window of the hardest roads, by frames an object. */
  readonly worst: readonly number[];
};

/** Frames an object, of the alternatives' drives. */
export const OBJECTS = [1, 10, 50] as const;

/** Every rule on the same drives: of the control, and of the roads that are the hardest for it. */
export function alternativeRows(seeds: number, drives: number, setting: Setting): readonly AlternativeRow[] {
  const cities = Array.from({ length: seeds }, (_, i) => cityOf(1 + i, setting));
  const lossesOf = (isOn: (road: Road) => boolean, object: number): readonly (readonly Loss[])[] => {
    const names = (cities[0]?.roads ?? []).filter(isOn).map(({ name }) => name);
    return names.map((name) => {
      const tally = new Tally(alternatives.length);
      for (const [city, { roads, tables, photosOf }] of cities.entries()) {
        const road = roads.find((one) => one.name === name) as Road;
        const table = tables.get(road.taught) as WorldTable;
        for (let drive = 1; drive <= drives; drive++) {
          const random = seededRandom(1_000 * (city + 1) + drive);
          const rules = alternatives.map(({ make }) => make(table, setting.perception));
          const frames = driveOn(road, photosOf(road), { stay: STAY, object }, random);
          tally.add(driven(frames, rules, "rare", setting.perception, random));
        }
      }
      return alternatives.map((_, i) => tally.loss(i));
    });
  };
  const gains = OBJECTS.map((object) => lossesOf(({ isControl }) => isControl, object));
  const worst = OBJECTS.map((object) => lossesOf(({ isHard }) => isHard, object));
  return alternatives.map(({ name }, i) => ({
    name,
    gains: gains.map((roads) => roads[0]?.[i]?.all ?? 0),
    worst: worst.map((roads) => Math.min(...roads.map((losses) => losses[i]?.worst ?? 0))),
  }));
}

/** Sums over drives, by rule and by the window's first frame. */
class Tally {
  #drives = 0;
  #plain = 0;
  readonly #sums: readonly Sums[];

  constructor(rules: number) {
    this.#sums = Array.from({ length: rules }, () => new Sums());
  }

  add({ plain, gained }: Driven): void {
    this.#drives += 1;
    this.#plain += plain;
    gained.forEach((own, i) => void this.#sums[i]?.add(own));
  }

  get plain(): number {
    return this.#plain / this.#drives;
  }

  loss(rule: number): Loss {
    return (this.#sums[rule] as Sums).loss(this.#drives);
  }
}

class Sums {
  readonly #windows = new Float64Array(FRAMES - WINDOW + 1);
  readonly #squares = new Float64Array(FRAMES - WINDOW + 1);
  readonly #lowest: number[] = [];
  #all = 0;

  add(gained: Int8Array): void {
    const windows = windowsOf(gained);
    windows.forEach((value, i) => {
      this.#windows[i] = (this.#windows[i] as number) + value;
      this.#squares[i] = (this.#squares[i] as number) + value ** 2;
    });
    this.#lowest.push(Math.min(...windows));
    this.#all += gained.reduce((sum, gain) => sum + gain, 0) / FRAMES;
  }

  loss(drives: number): Loss {
    const least = Math.min(...this.#windows);
    const worst = least / drives;
    const variance = (this.#squares[this.#windows.indexOf(least)] as number) / drives - worst ** 2;
    const single = this.#lowest.sort((a, b) => a - b)[Math.floor(drives / 20)] as number;
    return { worst, error: Math.sqrt(variance / drives), single, all: this.#all / drives };
  }
}

/** Means of each WINDOW consecutive frames. */
function windowsOf(gained: Int8Array): Float64Array {
  const windows = new Float64Array(gained.length - WINDOW + 1);
  let sum = 0;
  gained.forEach((gain, i) => {
    sum += gain - (i >= WINDOW ? (gained[i - WINDOW] as number) : 0);
    if (i >= WINDOW - 1) windows[i - WINDOW + 1] = sum / WINDOW;
  });
  return windows;
}
