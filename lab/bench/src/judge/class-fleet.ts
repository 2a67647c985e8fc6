/** A fleet whose devices each see mostly one class, minute by minute. Seeded, so that a
 * run can be replayed. */

import type { Random } from "@tributary/kernel";
import type { Arm } from "@tributary/rollouts/judge";
import { binomial, normal } from "@tributary/testing/fleet";

export type ClassWorld = {
  /** Devices of each arm. */
  readonly arm: number;
  readonly classes: number;
  /** Of a device's frames, those of its favourite class; the others are alike. */
  readonly favourite: number;
  /** Share of devices whose favourite is the first class; the other classes are alike. */
  readonly common: number;
  readonly minutes: number;
  /** Frames of one device and minute with a known outcome. */
  readonly framesPerMinute: number;
  readonly accuracy: number;
  /** Standard deviation of accuracy between classes, and between devices. */
  readonly classSd: number;
  readonly deviceSd: number;
  /** A retrained model does better on one class of one canary device and worse on another, on average neither. */
  readonly effectSd: number;
  /** Sites of both arms; what all devices of one see wanders, class by class: standard deviation, with a memory of two hours. */
  readonly sites: number;
  readonly siteSd: number;
  /** What the canary's model really loses: on all classes, and on the first one. */
  readonly harm: number;
  readonly harmOnOne: number;
};

/** Share of all frames that are of the first class. */
export const shareOfFirst = ({ classes, favourite, common }: ClassWorld): number =>
  common * favourite + ((1 - common) * (1 - favourite)) / (classes - 1);

const BEFORE_MINUTES = 24 * 60;
const MEMORY = Math.exp(-1 / 120);

type Grown = Arm & { readonly good: Float64Array; readonly frames: Float64Array; readonly before: Float64Array };
export type ArmCounts = { readonly control: Grown; readonly canary: Grown };

export class ClassFleet {
  readonly whole: ArmCounts;
  readonly byClass: readonly ArmCounts[];
  readonly #world: ClassWorld;
  readonly #random: Random;
  /** By device, canary first, and class. */
  readonly #rates: readonly Float64Array[];
  readonly #mixes: readonly Float64Array[];
  readonly #wander: readonly Float64Array[];

  constructor(world: ClassWorld, random: Random) {
    const { arm, classes, favourite, accuracy, classSd, deviceSd, effectSd, harm, harmOnOne, sites, siteSd } = world;
    this.#world = world;
    this.#random = random;
    const devices = Array.from({ length: 2 * arm }, (_, i) => i);
    const perClass = <T>(of: (name: number) => T) => Array.from({ length: classes }, (_, name) => of(name));
    const easiness = perClass(() => classSd * normal(random));
    this.#wander = Array.from({ length: sites }, () => Float64Array.from(perClass(() => siteSd * normal(random))));
    const before = new Float64Array(2 * arm);
    const favourites = devices.map(() => (random() < world.common ? 0 : 1 + Math.floor(random() * (classes - 1))));
    this.#mixes = devices.map((i) =>
      Float64Array.from(perClass((c) => (c === favourites[i] ? favourite : (1 - favourite) / (classes - 1)))),
    );
    this.#rates = devices.map((i) => {
      const own = accuracy + deviceSd * normal(random);
      const rates = Float64Array.from(perClass((c) => clamp(own + (easiness[c] as number))));
      const past = rates.reduce((sum, rate, c) => sum + rate * (this.#mixes[i]?.[c] as number), 0);
      const noise = Math.sqrt((past * (1 - past)) / (BEFORE_MINUTES * world.framesPerMinute));
      before[i] = clamp(past + noise * normal(random));
      if (i >= arm) return rates;
      return rates.map((rate, c) => rate - harm - (c === 0 ? harmOnOne : 0) + effectSd * normal(random));
    });
    const grown = (from: number): Grown => ({
      good: new Float64Array(arm),
      frames: new Float64Array(arm),
      before: before.slice(from, from + arm),
    });
    const both = () => ({ canary: grown(0), control: grown(arm) });
    this.whole = both();
    this.byClass = perClass(both);
  }

  /** Adds a minute's frames. */
  step(): void {
    const { arm, framesPerMinute, siteSd, classes, sites } = this.#world;
    if (siteSd > 0)
      for (const wander of this.#wander)
        for (let c = 0; c < classes; c++)
          wander[c] = MEMORY * (wander[c] as number) + siteSd * Math.sqrt(1 - MEMORY * MEMORY) * normal(this.#random);
    for (let i = 0; i < 2 * arm; i++) {
      let left = framesPerMinute;
      let share = 1;
      for (let c = 0; c < classes; c++) {
        const own = this.#mixes[i]?.[c] as number;
        const frames =
          c === classes - 1 ? left : left === 0 ? 0 : binomial(left, Math.min(1, own / share), this.#random);
        left -= frames;
        share -= own;
        if (frames === 0) continue;
        const rate = clamp((this.#rates[i]?.[c] as number) + (this.#wander[i % sites]?.[c] as number));
        this.#add(i, c, frames, frames - binomial(frames, 1 - rate, this.#random));
      }
    }
  }

  #add(device: number, name: number, frames: number, good: number): void {
    const { arm } = this.#world;
    for (const counts of [this.whole, this.byClass[name] as ArmCounts]) {
      const [to, at] = device < arm ? [counts.canary, device] : [counts.control, device - arm];
      to.good[at] = (to.good[at] as number) + good;
      to.frames[at] = (to.frames[at] as number) + frames;
    }
  }
}

const clamp = (rate: number): number => Math.min(0.999, Math.max(0.01, rate));
