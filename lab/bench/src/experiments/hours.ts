/** The hours that a plan forecasts, against those that experiments take: labels of real photos come with the policy's own, unequal
 * propensities, and some devices get many more of them than others. */
import type { RoutingPolicy } from "@tributary/contracts";
import { type Random, seededRandom } from "@tributary/kernel";
import {
  deviceSdAssumed,
  ExperimentJudge,
  experimentDefaults,
  hoursToDecide,
  laneNames,
  plannedVariances,
  type Rates,
  utilityOf,
  type Weights,
  withUnequalLabels,
} from "@tributary/rollouts/experiment";
import { comparePolicies } from "@tributary/routing";
import { quantilesOf } from "@tributary/testing";
import { binomial, normal } from "@tributary/testing/fleet";
import type { TestFrame } from "../routing/judged.ts";
import { independent, LATE, type Scored, SHARES, scoredPhotos } from "./planned.ts";

/** Devices of each arm, and frames of one and hour. */
const [DEVICES, FRAMES_PER_HOUR, HOURS] = [80, 300, 400] as const;
/** Labels of one device and hour: every second one has few. */
const LABELS = [0.6, 5.4] as const;
const LABELS_MEAN = (LABELS[0] + LABELS[1]) / 2;
const LOGGED_HOURS = 24;
const HOUR = 3_600_000;
const ROPE = 0.003;

/** Propensities that are as unequal as the policy's, of frames that are no more uncertain: nothing makes up for it. */
const BLIND = [0.01, 0.09] as const;

/** Arms against `hybrid`, and weights with which their gain is clear. */
const CASES = [
  { arm: "edge-heavy", isBlind: false, weights: { correct: 1, escalated: 0.4, late: 0.5 } },
  { arm: "edge-heavy", isBlind: true, weights: { correct: 1, escalated: 0.4, late: 0.5 } },
  { arm: "cloud-heavy", isBlind: false, weights: { correct: 1, escalated: 0.005, late: 0.02 } },
  { arm: "cloud-heavy", isBlind: true, weights: { correct: 1, escalated: 0.005, late: 0.02 } },
] as const satisfies readonly {
  readonly arm: keyof typeof SHARES;
  readonly isBlind: boolean;
  readonly weights: Weights;
}[];

export type HoursFound = {
  readonly name: string;
  readonly gain: number;
  /** Forecast, and what it was while labels counted as equal. */
  readonly forecast: number | null;
  readonly asEqual: number | null;
  /** Until half of the experiments were decided. */
  readonly half: number;
  readonly wrong: number;
  readonly runs: number;
};

export function hoursFound(photos: readonly TestFrame[], policy: RoutingPolicy, runs: number, seed: number) {
  const own = scoredPhotos(photos, policy);
  const blind = own.map((one, i) => ({ ...one, pi: BLIND[i % 2] as number }));
  return CASES.map(({ arm, isBlind, weights }, c): HoursFound => {
    const scored = [...(isBlind ? blind : own)].sort((a, b) => b.score - a.score);
    const [control, other] = [ratesOf(scored, SHARES.hybrid), ratesOf(scored, SHARES[arm])];
    const gain = utilityOf(other, weights) - utilityOf(control, weights);
    const settings = { ...experimentDefaults, lateMargin: 0.05, burnInMs: HOUR, weights, rope: ROPE, arms: 1 };
    const random = seededRandom(seed + c);
    const logged = independent(scored, random);
    const arms = [SHARES.hybrid, SHARES[arm]].map((escalationShareMax, i) => ({
      ...{ name: `${i}`, policy: { ...policy, scoreMin: -1, escalationShareMax }, seen: { sent: 0, late: 0 } },
    }));
    const designs = (comparePolicies(logged, arms, weights) ?? []).map(({ labelDesign }) => labelDesign);
    const design = designs.reduce((sum, one) => sum + one, 0) / designs.length;
    const rates = { ...control };
    for (const lane of laneNames) rates[lane] = (control[lane] + other[lane]) / 2;
    const counts = Array.from({ length: 2 * DEVICES }, (_, i) => labelsOf(i, LOGGED_HOURS, random));
    const perHour = { correct: LABELS_MEAN, escalated: FRAMES_PER_HOUR, late: FRAMES_PER_HOUR };
    const plan = { devices: [DEVICES, DEVICES] as const, rates, deviceSd: deviceSdAssumed };
    const unequal = withUnequalLabels(plan, perHour, { design, byDevice: counts });
    const hoursBy = (one: typeof unequal) =>
      hoursToDecide(one.plan, one.perHour, settings, { gain, rise: other.late - control.late })?.hours ?? null;
    const right = gain > 0 ? "adopt" : "reject";
    const decided = Array.from({ length: runs }, (_, run) =>
      decidedBy(
        { scored, rates: [control, other], shares: [SHARES.hybrid, SHARES[arm]], settings, design },
        seed + 100 + run,
      ),
    );
    const [half] = quantilesOf(
      decided.map(({ hours }) => hours),
      0.5,
    );
    return {
      name: isBlind ? `${arm}, blind propensities` : arm,
      gain,
      forecast: hoursBy(unequal),
      asEqual: hoursBy({ plan, perHour }),
      half: half as number,
      wrong: decided.filter(({ verdict }) => verdict !== "undecided" && verdict !== right).length,
      runs,
    };
  });
}

/** A Poisson count, as a sum of many rare draws. */
const labelsOf = (device: number, hours: number, random: Random): number =>
  binomial(FRAMES_PER_HOUR * hours, (LABELS[device % 2] as number) / FRAMES_PER_HOUR, random);

/** The rates of a policy that sends this share of frames, chosen by score. */
function ratesOf(scored: readonly Scored[], share: number): Rates {
  const right = scored.reduce((sum, one, place) => sum + rightOf(one, place < share * scored.length), 0);
  return { correct: right / scored.length, escalated: share, late: share * LATE };
}

const rightOf = ({ photo }: Scored, isSent: boolean): number => {
  const edge = photo.edgeRight ? 1 : 0;
  return isSent ? (1 - LATE) * (photo.cloudRight ? 1 : 0) + LATE * edge : edge;
};

type Setting = {
  readonly scored: readonly Scored[];
  readonly rates: readonly [Rates, Rates];
  readonly shares: readonly [number, number];
  /** Labels that are worth one of equal weight. */
  readonly design: number;
  readonly settings: Omit<ConstructorParameters<typeof ExperimentJudge>[0], "planned">;
};

/** Places of labelled frames, and the mean propensity. */
type Sample = { readonly pick: (uniform: number) => number; readonly mean: number };

type Lane = { readonly good: Float64Array; readonly frames: Float64Array; readonly before: Float64Array };

/** One experiment, hour by hour, until its verdict. */
function decidedBy({ scored, rates, shares, settings, design }: Setting, seed: number) {
  const random = seededRandom(seed);
  const frames = { correct: (24 * LABELS_MEAN) / design, escalated: 24 * FRAMES_PER_HOUR, late: 24 * FRAMES_PER_HOUR };
  const planned = plannedVariances(
    { devices: [DEVICES, DEVICES], rates: rates[0], frames, deviceSd: deviceSdAssumed },
    settings.weights,
  );
  const judge = new ExperimentJudge({ ...settings, planned });
  const pick = pickerOf(scored);
  const mean = scored.reduce((sum, { pi }) => sum + pi, 0) / scored.length;
  const [control, arm] = rates.map((own, i) => new SimulatedArm(own, rates[0], shares[i] as number, random)) as [
    SimulatedArm,
    SimulatedArm,
  ];
  for (let hour = 1; hour <= HOURS; hour++) {
    for (const one of [control, arm]) one.step(scored, { pick, mean }, random);
    const look = judge.look(hour * HOUR, control.lanes, arm.lanes);
    if (look !== null && look.verdict !== "undecided") return { hours: hour, verdict: look.verdict };
  }
  return { hours: HOURS, verdict: "undecided" as const };
}

class SimulatedArm {
  /** `sample` of the lane of labels is for a comparison that weighs devices by them. */
  readonly lanes;
  readonly #rates: Rates;
  readonly #share: number;
  readonly #shifts: readonly Rates[];

  constructor(rates: Rates, past: Rates, share: number, random: Random) {
    const none = () => new Float64Array(DEVICES);
    // A past that explains nothing of what devices differ by.
    const lane = (rate: number): Lane => ({
      ...{ good: none(), frames: none() },
      before: none().map(() => Math.max(0, rate + 0.001 * normal(random))),
    });
    const sample = { labels: none(), squares: none(), badSquares: none() };
    this.lanes = {
      correct: { ...lane(past.correct), sample },
      escalated: lane(past.escalated),
      late: lane(past.late),
    };
    this.#rates = rates;
    this.#share = share;
    const shift = (sd: number) => sd * normal(random);
    this.#shifts = Array.from({ length: DEVICES }, () => ({
      correct: shift(deviceSdAssumed.correct),
      escalated: shift(deviceSdAssumed.escalated),
      late: shift(deviceSdAssumed.late),
    }));
  }

  step(scored: readonly Scored[], { pick, mean }: Sample, random: Random): void {
    for (const [device, shift] of this.#shifts.entries()) {
      for (let label = labelsOf(device, 1, random); label > 0; label--) {
        const place = pick(random());
        const one = scored[place] as Scored;
        const right = rightOf(one, place < this.#share * scored.length);
        const { correct } = this.#rates;
        const moved = shift.correct > 0 ? (1 - right) / (1 - correct) : right / correct;
        this.#label(device, mean / one.pi, random() < right + shift.correct * moved);
      }
      for (const name of ["escalated", "late"] as const) {
        const lane = this.lanes[name];
        const rate = Math.min(1, Math.max(0, this.#rates[name] + shift[name]));
        lane.good[device] = (lane.good[device] as number) + binomial(FRAMES_PER_HOUR, rate, random);
        lane.frames[device] = (lane.frames[device] as number) + FRAMES_PER_HOUR;
      }
    }
  }

  #label(device: number, weight: number, isRight: boolean): void {
    const { good, frames, sample } = this.lanes.correct;
    const add = (counts: Float64Array, value: number) => {
      counts[device] = (counts[device] as number) + value;
    };
    add(frames, weight);
    if (isRight) add(good, weight);
    add(sample.labels, 1);
    add(sample.squares, weight * weight);
    if (!isRight) add(sample.badSquares, weight * weight);
  }
}

/** A place, as often as its frame is drawn. */
function pickerOf(scored: readonly Scored[]): (uniform: number) => number {
  let sum = 0;
  const sums = Float64Array.from(scored, ({ pi }) => (sum += pi));
  return (uniform) => {
    let [low, high] = [0, sums.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] as number) < uniform * sum) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}
