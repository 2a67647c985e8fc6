/** One property over some seeds, by the ladder or by one of the property's controls. */
import { ladderProperties, ladderRules } from "@tributary/testing/driving";

export type SeedsTask = {
  /** Place in `ladderProperties`. */
  readonly property: number;
  /** Place in its controls; null: the ladder as it is. */
  readonly control: number | null;
  readonly fromSeed: number;
  readonly seeds: number;
};

export type SeedsChecked = {
  readonly seeds: number;
  readonly cases: number;
  /** Seeds that violate it. */
  readonly violating: number;
  /** Of the first one. */
  readonly example: string | null;
};

export function checkSeeds({ property, control, fromSeed, seeds }: SeedsTask): SeedsChecked {
  const checked = ladderProperties[property];
  if (checked === undefined) throw new Error(`there is no property ${property}`);
  let [cases, violating] = [0, 0];
  let example: string | null = null;
  for (let seed = fromSeed; seed < fromSeed + seeds; seed++) {
    const rules = control === null ? ladderRules : checked.controls[control]?.rules();
    const found = checked.check(seed, rules ?? ladderRules);
    cases += found.cases;
    if (found.violations.length === 0) continue;
    violating += 1;
    example ??= `seed ${seed}: ${found.violations[0]}`;
  }
  return { seeds, cases, violating, example };
}

export const noneChecked: SeedsChecked = { seeds: 0, cases: 0, violating: 0, example: null };

export const together = (one: SeedsChecked, other: SeedsChecked): SeedsChecked => ({
  seeds: one.seeds + other.seeds,
  cases: one.cases + other.cases,
  violating: one.violating + other.violating,
  example: one.example ?? other.example,
});
