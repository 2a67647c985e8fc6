/** What a table costs that becomes wrong, against perception alone on the same frames, by today's rule and by the former one.
 *
 * The former rule weighed fused and plain answer by all truths since the table came, so what was right for long was trusted for long. Both
 * rules see the same drives. */
import { poisoned } from "@tributary/demo/world";
import { World } from "@tributary/agent/compose";
import { type Random, seededRandom } from "@tributary/kernel";
import type { WorldPackage } from "@tributary/model-store";
import { classesIn, fused, type WorldTable } from "@tributary/world";
import { ANSWER_FRAMES, best, type Perception, propensityOf, sharesOf, softmax, trained } from "./drive.ts";
import { CHANGES_AT, driveOn, FRAMES, type Pace, type Road, type RoadFrame, roadsOf, type Teaching } from "./roads.ts";
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
export const lanes: readonly Lane[] = (["rare", "sampled", "none"] as const).flatMap((truths) => [
  { truths, pace: { stay: STAY, object: 1 }, name: `${truths}, each frame another object` },
  { truths, pace: { stay: STAY, object: 10 }, name: `${truths}, ten frames an object` },
]);

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

type Rule = {
  /** The label of a frame. */
  readonly answer: (frame: RoadFrame, frameId: string) => number;
  readonly truth: (frameId: string, label: number) => void;
  readonly weight: () => number;
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
  const [city, other] = [mixesOf(perception.labels.length, true, random), mixesOf(perception.labels.length, true, random)];
  const tables = new Map<Teaching, WorldTable>();
  const stream = streamOf(training, city, TRAINING_FRAMES, random);
  const right = trained(first, stream, perception, random).table;
  tables.set("right", right).set("poisoned", poisoned(right));
  // 0 with 1, 2 with 3, and so on.
  tables.set("swapped", trained(first, stream, perception, random, (label) => label ^ 1).table);
  const byLabel = Map.groupBy(test, ({ label }) => label);
  const isUnsure = (photo: Photo) => ([...sharesOf(photo, perception.temperature)].sort((a, b) => b - a)[1] ?? 0) > UNSURE;
  const dim = new Map([...byLabel].map(([label, own]) => [label, own.filter(isUnsure)] as const));
  return { roads: roadsOf(city, other), tables, photosOf: ({ isDim }: Road) => (isDim ? dim : byLabel) };
}

export function wrongRows(
  seeds: number,
  drives: number,
  setting: Setting,
  progress: (line: string) => void,
): readonly WrongRow[] {
  const tallies = new Map<string, Tally>();
  for (let seed = 1; seed <= seeds; seed++) {
    const { roads, tables, photosOf } = cityOf(seed, setting);
    for (const road of roads) {
      for (const lane of lanes) {
        const key = `${road.name}\n${lane.name}`;
        const tally = tallies.get(key) ?? new Tally();
        tallies.set(key, tally);
        for (let drive = 1; drive <= drives; drive++) {
          const random = seededRandom(1_000 * seed + drive);
          const table = tables.get(road.taught) as WorldTable;
          tally.add(driven(driveOn(road, photosOf(road), lane.pace, random), table, lane.truths, setting.perception, random));
        }
      }
    }
    progress(`tables that become wrong: city ${seed} of ${seeds}`);
  }
  return [...tallies].map(([key, tally]) => {
    const [road = "", lane = ""] = key.split("\n");
    return { road, lane, plain: tally.plain, now: tally.loss("now"), former: tally.loss("former") };
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
    driven(frames, tables.get("right") as WorldTable, "rare", setting.perception, random, (weights) => {
      const since = frame++ - LONG_FRAMES;
      for (const rule of ["now", "former"] as const) {
        if (since >= 0 && weights[rule] < LITTLE) lost[rule] ??= since;
      }
    });
    return lost;
  });
}

type Driven = { readonly plain: number; readonly now: Int8Array; readonly former: Int8Array };
type Weights = { readonly now: number; readonly former: number };

/** Right answers over perception's, frame by frame: -1, 0 or 1. */
function driven(
  frames: Iterable<RoadFrame>,
  table: WorldTable,
  truths: Truths,
  perception: Perception,
  random: Random,
  onFrame: (weights: Weights) => void = () => undefined,
): Driven {
  const rules = { now: deviceRule(table, perception), former: formerRule(table, perception) };
  const gained: { now: number[]; former: number[] } = { now: [], former: [] };
  const outstanding: { readonly at: number; readonly frameId: string; readonly label: number }[] = [];
  let [at, plain] = [0, 0];
  for (const frame of frames) {
    for (let due = outstanding[0]; due !== undefined && due.at <= at; due = outstanding[0]) {
      outstanding.shift();
      for (const rule of Object.values(rules)) rule.truth(due.frameId, due.label);
    }
    const { photo } = frame;
    const own = sharesOf(photo, perception.temperature);
    const plainRight = best(own) === photo.label ? 1 : 0;
    plain += plainRight;
    const frameId = String(at);
    for (const name of ["now", "former"] as const) {
      gained[name].push((rules[name].answer(frame, frameId) === photo.label ? 1 : 0) - plainRight);
    }
    onFrame({ now: rules.now.weight(), former: rules.former.weight() });
    const propensity = { rare: RARE, sampled: propensityOf(own), none: 0 }[truths];
    if (random() < propensity) outstanding.push({ at: at + ANSWER_FRAMES, frameId, label: photo.cloud });
    at += 1;
  }
  return { plain: plain / at, now: Int8Array.from(gained.now), former: Int8Array.from(gained.former) };
}

const contextOf = ({ place, quarter }: RoadFrame) => ({ place: `cell-${place}`, hour: 6 * quarter + 3 });

/** As devices answer. */
function deviceRule(table: WorldTable, { labels, temperature }: Perception): Rule {
  let now: ReturnType<typeof contextOf> | undefined;
  const pkg = { digest: "ab".repeat(32), dir: "", table, manifest: { name: "world", version: "1" } };
  const world = new World(pkg as unknown as WorldPackage, {
    context: () => ({ context: now as ReturnType<typeof contextOf>, text: `${now?.place}/${now?.hour}` }),
    isWithheld: () => false,
    onTruth: () => undefined,
    onFailing: () => undefined,
    onUnusable: () => undefined,
  });
  return {
    answer: (frame, frameId) => {
      now = contextOf(frame);
      const { logits, remember } = world.inContext(frame.photo.logits, temperature, labels);
      remember(frameId);
      return best(softmax(logits, temperature));
    },
    truth: (frameId, label) => world.truth(frameId, labels[label] as string),
    weight: () => world.weight,
  };
}

/** A Bayesian mixture over all truths since the table came. */
function formerRule(table: WorldTable, { temperature }: Perception): Rule {
  let nats = 0;
  const waiting = new Map<string, { readonly plain: Float64Array; readonly withContext: Float64Array }>();
  const weight = () => 1 / (1 + Math.exp(-nats));
  return {
    answer: (frame, frameId) => {
      const plain = sharesOf(frame.photo, temperature);
      const withContext = fused(plain, table.prior, classesIn(table, contextOf(frame)));
      waiting.delete(String(Number(frameId) - 2 * ANSWER_FRAMES));
      waiting.set(frameId, { plain, withContext });
      const w = weight();
      return best(plain.map((share, i) => w * (withContext[i] as number) + (1 - w) * share));
    },
    truth: (frameId, label) => {
      const { plain, withContext } = waiting.get(frameId) ?? {};
      if (plain !== undefined && withContext !== undefined) {
        nats += Math.log(withContext[label] as number) - Math.log(plain[label] as number);
      }
    },
    weight,
  };
}

/** Sums over drives, frame by frame. */
class Tally {
  #plain = 0;
  readonly #windows: { now: Float64Array[]; former: Float64Array[] } = { now: [], former: [] };
  readonly #alls = { now: 0, former: 0 };

  add({ plain, now, former }: Driven): void {
    this.#plain += plain;
    for (const [name, gained] of [["now", now] as const, ["former", former] as const]) {
      this.#windows[name].push(windowsOf(gained));
      this.#alls[name] += gained.reduce((sum, gain) => sum + gain, 0) / FRAMES;
    }
  }

  get plain(): number {
    return this.#plain / this.#windows.now.length;
  }

  loss(name: "now" | "former"): Loss {
    const drives = this.#windows[name];
    const means = Float64Array.from(drives[0] ?? [], (_, at) => mean(drives.map((windows) => windows[at] as number)));
    const worst = Math.min(...means);
    const own = drives.map((windows) => windows[means.indexOf(worst)] as number);
    const variance = mean(own.map((value) => (value - worst) ** 2));
    const lowest = drives.map((windows) => Math.min(...windows)).sort((a, b) => a - b);
    return {
      worst: worst,
      error: Math.sqrt(variance / drives.length),
      single: lowest[Math.floor(lowest.length / 20)] as number,
      all: this.#alls[name] / drives.length,
    };
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

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
