/** A fleet in which two policies are compared, hour by hour. A device's frames differ in how hard they are: where they are harder, fewer are
 * answered right, and more are escalated. Seeded, so that a run can be replayed. */
import type { Random } from "@tributary/kernel";
import { type ArmLanes, type LaneName, laneNames, type Rates } from "@tributary/rollouts/experiment";
import { binomial, normal } from "@tributary/testing/fleet";

export type World = {
  /** Devices of each arm. */
  readonly arm: number;
  readonly hours: number;
  /** Of one device and hour: all frames, and those of the random sample that have a label. */
  readonly frames: number;
  readonly labels: number;
  /** Of the control, and what the arm really adds. */
  readonly control: Rates;
  readonly effect: Rates;
  /** Between devices. */
  readonly hardnessSd: number;
  /** Devices drift around their own hardness, with a memory of a day. */
  readonly wanderSd: number;
  /** The arm is worth more on one device and less on another, on average neither. */
  readonly effectSd: number;
  /** A day, some time in the run, on which all frames are harder, on each device by up to twice this. */
  readonly shock: number;
};

const NO_EFFECT: Rates = { correct: 0, escalated: 0, late: 0 };

export const calm: World = {
  arm: 150,
  hours: 168,
  frames: 600,
  labels: 6,
  control: { correct: 0.88, escalated: 0.1, late: 0.003 },
  effect: NO_EFFECT,
  hardnessSd: 0.03,
  wanderSd: 0,
  effectSd: 0,
  shock: 0,
};

/** What a point of hardness does to each rate. */
const OF_HARDNESS: Rates = { correct: -1, escalated: 1.5, late: 0.02 };
const BEFORE_HOURS = 24;
const MEMORY = Math.exp(-1 / 24);

type Counts = { readonly good: Float64Array; readonly frames: Float64Array; readonly before: Float64Array };
type Lanes = Readonly<Record<LaneName, Counts>>;
/** Of one hour: frames of an arm, pooled, and how many had the outcome of each lane. */
export type Pooled = Readonly<Record<LaneName, readonly [good: number, frames: number]>>;

export class ExperimentFleet {
  readonly control: Lanes & ArmLanes;
  readonly arm: Lanes & ArmLanes;
  readonly #world: World;
  readonly #random: Random;
  readonly #hardness: Float64Array;
  readonly #effect: Float64Array;
  readonly #wander: Float64Array;
  readonly #susceptible: Float64Array;
  readonly #shockAt: number;
  #hour = 0;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
    const devices = 2 * world.arm;
    const each = (of: (i: number) => number) => Float64Array.from({ length: devices }, (_, i) => of(i));
    this.#hardness = each(() => world.hardnessSd * normal(random));
    this.#effect = each(() => world.effectSd * normal(random));
    this.#wander = each(() => world.wanderSd * normal(random));
    this.#susceptible = each(() => 2 * random());
    this.#shockAt = Math.floor(random() * world.hours);
    const before = (lane: LaneName) =>
      each((i) => {
        const rate = rateOf(lane, world.control, this.#hardness[i] as number);
        const frames = BEFORE_HOURS * framesOf(world, lane);
        return within(rate + Math.sqrt((rate * (1 - rate)) / frames) * normal(random));
      });
    const all = { correct: before("correct"), escalated: before("escalated"), late: before("late") };
    const lanes = (from: number) => {
      const lane = (name: LaneName): Counts => ({
        good: new Float64Array(world.arm),
        frames: new Float64Array(world.arm),
        before: all[name].slice(from, from + world.arm),
      });
      return { correct: lane("correct"), escalated: lane("escalated"), late: lane("late") };
    };
    this.control = lanes(0);
    this.arm = lanes(world.arm);
  }

  /** Adds an hour's frames, and gives them pooled. */
  step(): { readonly control: Pooled; readonly arm: Pooled } {
    const { arm, wanderSd, shock, control, effect } = this.#world;
    const isShocked = this.#hour >= this.#shockAt && this.#hour < this.#shockAt + 24;
    this.#hour += 1;
    const pooled = { control: noneOf(), arm: noneOf() };
    const ofArm = { correct: 0, escalated: 0, late: 0 };
    for (const lane of laneNames) ofArm[lane] = control[lane] + effect[lane];
    for (let i = 0; i < 2 * arm; i++) {
      if (wanderSd > 0) {
        const step = wanderSd * Math.sqrt(1 - MEMORY * MEMORY) * normal(this.#random);
        this.#wander[i] = MEMORY * (this.#wander[i] as number) + step;
      }
      const isArm = i >= arm;
      const harder = isShocked ? shock * (this.#susceptible[i] as number) : 0;
      const own = (this.#hardness[i] as number) + (this.#wander[i] as number) + harder;
      const hardness = isArm ? own + (this.#effect[i] as number) : own;
      const [lanes, sums, at] = isArm ? [this.arm, pooled.arm, i - arm] : ([this.control, pooled.control, i] as const);
      for (const lane of laneNames) {
        const frames = framesOf(this.#world, lane);
        const good = binomial(frames, rateOf(lane, isArm ? ofArm : control, hardness), this.#random);
        const { good: all, frames: count } = lanes[lane];
        all[at] = (all[at] as number) + good;
        count[at] = (count[at] as number) + frames;
        sums[lane][0] += good;
        sums[lane][1] += frames;
      }
    }
    return pooled;
  }
}

const rateOf = (lane: LaneName, rates: Rates, hardness: number): number =>
  within(rates[lane] + OF_HARDNESS[lane] * hardness);
const framesOf = ({ frames, labels }: World, lane: LaneName): number => (lane === "correct" ? labels : frames);
const noneOf = (): Record<LaneName, [number, number]> => ({ correct: [0, 0], escalated: [0, 0], late: [0, 0] });
const within = (rate: number): number => Math.min(0.9995, Math.max(0.0005, rate));
