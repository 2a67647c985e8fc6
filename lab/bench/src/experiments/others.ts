/** Other ways to compare two policies, on the same draws or the same world. Each decides for the arm, for the control, or not yet. */
import type { Random } from "@tributary/kernel";
import { laneNames, type Weights } from "@tributary/rollouts/experiment";
import { logEvidence, mixtureVariance } from "@tributary/rollouts/judge";
import { normalCdf } from "@tributary/statistics";
import { binomial } from "@tributary/testing/fleet";
import type { Pooled, World } from "./fleet.ts";

type Verdict = "adopt" | "reject" | null;
type Hour = { readonly control: Pooled; readonly arm: Pooled };

export interface Other {
  /** Null: not decided yet. */
  look(hour: Hour): Verdict;
}

/** Utility of all frames so far, with the frame as the unit. */
class PooledUtility {
  readonly #weights: Weights;
  readonly #sums = { control: [0, 0, 0, 0, 0, 0], arm: [0, 0, 0, 0, 0, 0] };

  constructor(weights: Weights) {
    this.#weights = weights;
  }

  /** Arm less control. */
  add(hour: Hour): { readonly gain: number; readonly variance: number } {
    const of = (arm: "control" | "arm") => {
      const sums = this.#sums[arm];
      let [utility, variance] = [0, 0];
      for (const [i, lane] of laneNames.entries()) {
        sums[2 * i] = (sums[2 * i] as number) + hour[arm][lane][0];
        sums[2 * i + 1] = (sums[2 * i + 1] as number) + hour[arm][lane][1];
        const frames = sums[2 * i + 1] as number;
        const rate = (sums[2 * i] as number) / frames;
        const weight = (lane === "correct" ? 1 : -1) * this.#weights[lane];
        utility += weight * rate;
        variance += (weight ** 2 * rate * (1 - rate)) / frames;
      }
      return { utility, variance };
    };
    const [control, arm] = [of("control"), of("arm")];
    return { gain: arm.utility - control.utility, variance: control.variance + arm.variance };
  }
}

/** A z-test of utility at 5 %, two-sided, looked at every hour. */
export class PeekedZTest implements Other {
  readonly #utility: PooledUtility;
  constructor(weights: Weights) {
    this.#utility = new PooledUtility(weights);
  }
  look(hour: Hour): Verdict {
    const { gain, variance } = this.#utility.add(hour);
    return sideOf(gain, 2 * (1 - normalCdf(Math.abs(gain) / Math.sqrt(variance))) < 0.05);
  }
}

/** An always-valid test, of frames as if they were independent. */
export class PerFrameTest implements Other {
  readonly #utility: PooledUtility;
  #mixture: number | undefined;
  constructor(weights: Weights) {
    this.#utility = new PooledUtility(weights);
  }
  look(hour: Hour): Verdict {
    const { gain, variance } = this.#utility.add(hour);
    this.#mixture ??= mixtureVariance(variance / 24, 0.025);
    const log = logEvidence({ harm: Math.abs(gain), variance, freedom: 1e6 }, this.#mixture);
    return sideOf(gain, log >= -Math.log(0.025));
  }
}

/** Arms drawn for each call: only frames that the cloud answered in time carry one. A z-test of their accuracy, every hour. */
export class AsRouted implements Other {
  readonly #world: World;
  readonly #random: Random;
  readonly #sums = [0, 0, 0, 0];
  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
  }
  look(): Verdict {
    const { arm, frames, labels, control, effect } = this.#world;
    for (const [i, rates] of [control, sum(control, effect)].entries()) {
      // Half of the frames of all devices; of those that are escalated the late ones get the device's answer, and no arm.
      const answered = Math.round(arm * (rates.escalated - rates.late) * (labels / frames) * frames);
      const right = answered - binomial(answered, 1 - rates.correct, this.#random);
      this.#sums[2 * i] = (this.#sums[2 * i] as number) + right;
      this.#sums[2 * i + 1] = (this.#sums[2 * i + 1] as number) + answered;
    }
    const [a, n, b, m] = this.#sums as [number, number, number, number];
    const pooled = (a + b) / (n + m);
    const z = (b / m - a / n) / Math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m));
    return sideOf(z, 2 * (1 - normalCdf(Math.abs(z))) < 0.05);
  }
}

const sum = (a: World["control"], b: World["control"]) => ({
  correct: a.correct + b.correct,
  escalated: a.escalated + b.escalated,
  late: a.late + b.late,
});

const sideOf = (gain: number, isShown: boolean): Verdict => (isShown ? (gain > 0 ? "adopt" : "reject") : null);
