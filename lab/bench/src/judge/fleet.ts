/** A fleet of devices that classify frames with known outcomes, minute by minute. Seeded, so that a run can be replayed. */
import type { Random } from "@tributary/kernel";
import { binomial, normal } from "@tributary/testing/fleet";

/** How devices differ and change while nothing is wrong with the model, and what is wrong with it. */
export type World = {
  readonly devices: number;
  readonly canaries: number;
  readonly minutes: number;
  /** Frames of one device and minute with a known outcome. */
  readonly framesPerMinute: number;
  readonly accuracy: number;
  /** Standard deviation of accuracy between devices. */
  readonly deviceSd: number;
  /** Devices drift around their own accuracy: standard deviation, with a memory of two hours. */
  readonly wanderSd: number;
  /** A retrained model does better on one canary device and worse on another, on average neither. */
  readonly effectSd: number;
  /** An hour, some time in the run, in which all devices lose accuracy, each by up to twice this. */
  readonly shock: number;
  /** What the canary's model really loses. */
  readonly harm: number;
};

export const calm: World = {
  devices: 1_000,
  canaries: 50,
  minutes: 360,
  framesPerMinute: 12,
  accuracy: 0.9,
  deviceSd: 0.03,
  wanderSd: 0,
  effectSd: 0,
  shock: 0,
  harm: 0,
};

/** What is known of each device before the start: a day of its frames. */
const BEFORE_MINUTES = 24 * 60;
const MEMORY = Math.exp(-1 / 120);
const SHOCK_MINUTES = 60;

export type Counts = { readonly good: Float64Array; readonly frames: Float64Array; readonly before: Float64Array };

export class Fleet {
  readonly control: Counts;
  readonly canary: Counts;
  readonly #world: World;
  readonly #random: Random;
  readonly #own: Float64Array;
  readonly #wander: Float64Array;
  readonly #susceptible: Float64Array;
  readonly #shockAt: number;
  #minute = 0;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
    const { devices, canaries, accuracy, deviceSd, wanderSd, effectSd } = world;
    this.#own = new Float64Array(devices);
    this.#wander = new Float64Array(devices);
    this.#susceptible = Float64Array.from({ length: devices }, () => 2 * random());
    const before = new Float64Array(devices);
    for (let i = 0; i < devices; i++) {
      const own = clamp(accuracy + deviceSd * normal(random));
      const noise = Math.sqrt((own * (1 - own)) / (BEFORE_MINUTES * world.framesPerMinute));
      before[i] = clamp(own + noise * normal(random));
      this.#wander[i] = wanderSd * normal(random);
      this.#own[i] = own - (i < canaries ? world.harm + effectSd * normal(random) : 0);
    }
    this.#shockAt = Math.floor(random() * world.minutes);
    const counts = (from: number, to: number): Counts => ({
      good: new Float64Array(to - from),
      frames: new Float64Array(to - from),
      before: before.slice(from, to),
    });
    this.canary = counts(0, canaries);
    this.control = counts(canaries, devices);
  }

  /** Adds a minute's frames. Gives the minute's own counts of both arms. */
  step(): { readonly canary: readonly [good: number, all: number]; readonly control: readonly [number, number] } {
    const { canaries, devices, framesPerMinute: frames, wanderSd, shock } = this.#world;
    const isShocked = this.#minute >= this.#shockAt && this.#minute < this.#shockAt + SHOCK_MINUTES;
    let canaryGood = 0;
    let controlGood = 0;
    for (let i = 0; i < devices; i++) {
      if (wanderSd > 0) {
        const step = wanderSd * Math.sqrt(1 - MEMORY * MEMORY) * normal(this.#random);
        this.#wander[i] = MEMORY * (this.#wander[i] as number) + step;
      }
      const lost = isShocked ? shock * (this.#susceptible[i] as number) : 0;
      const rate = clamp((this.#own[i] as number) + (this.#wander[i] as number) - lost);
      const good = frames - binomial(frames, 1 - rate, this.#random);
      const [arm, at] = i < canaries ? [this.canary, i] : [this.control, i - canaries];
      arm.good[at] = (arm.good[at] as number) + good;
      arm.frames[at] = (arm.frames[at] as number) + frames;
      if (i < canaries) canaryGood += good;
      else controlGood += good;
    }
    this.#minute += 1;
    return { canary: [canaryGood, canaries * frames], control: [controlGood, (devices - canaries) * frames] };
  }
}

const clamp = (rate: number): number => Math.min(0.999, Math.max(0.5, rate));
