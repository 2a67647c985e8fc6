/** Adam (Kingma & Ba 2015) with a linear warm-up and a cosine to 0. Moments are kept as float32, sums are made as doubles: a state
 * that was written and read again continues with the same bits. */
import type { Recipe } from "../recipe.ts";

/** By name of the parameter. */
export type Parameters = ReadonlyMap<string, Float32Array>;

export type AdamState = {
  /** Steps that were made. */
  readonly step: number;
  readonly first: Parameters;
  readonly second: Parameters;
};

const DECAY_FIRST = 0.9;
const DECAY_SECOND = 0.999;
const EPSILON = 1e-8;

export function startAdam(parameters: Parameters): AdamState {
  const zeros = () => new Map([...parameters].map(([name, values]) => [name, new Float32Array(values.length)]));
  return { step: 0, first: zeros(), second: zeros() };
}

/** Of step 0 to `steps` - 1. */
export function learningRateAt(
  step: number,
  steps: number,
  { learningRateMax, warmUpShare }: Pick<Recipe, "learningRateMax" | "warmUpShare">,
): number {
  const warmUp = Math.min(1, (step + 1) / (warmUpShare * steps + 1));
  return learningRateMax * warmUp * 0.5 * (1 + Math.cos((Math.PI * step) / steps));
}

/** Changes `parameters` and the state's moments in place, of the parameters that have a gradient; returns the next state. */
export function adamStep(parameters: Parameters, gradients: Parameters, state: AdamState, rate: number): AdamState {
  const step = state.step + 1;
  const firstScale = 1 / (1 - DECAY_FIRST ** step);
  const secondScale = 1 / (1 - DECAY_SECOND ** step);
  for (const [name, gradient] of gradients) {
    const values = parameters.get(name) as Float32Array;
    const first = state.first.get(name) as Float32Array;
    const second = state.second.get(name) as Float32Array;
    for (let i = 0; i < values.length; i++) {
      const slope = gradient[i] as number;
      const mean = DECAY_FIRST * (first[i] as number) + (1 - DECAY_FIRST) * slope;
      const square = DECAY_SECOND * (second[i] as number) + (1 - DECAY_SECOND) * slope * slope;
      first[i] = mean;
      second[i] = square;
      values[i] = (values[i] as number) - (rate * mean * firstScale) / (Math.sqrt(square * secondScale) + EPSILON);
    }
  }
  return { step, first: state.first, second: state.second };
}
