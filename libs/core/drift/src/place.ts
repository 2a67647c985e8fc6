/** What the alarmed devices have in common. */
import { holmAdjusted, hypergeometricTail } from "@tributary/statistics";

export type PlacedDevice = { readonly attributes: Readonly<Record<string, string>>; readonly isAlarmed: boolean };

export type Placed = {
  readonly key: string;
  readonly value: string;
  /** Of the hypergeometric tail, after Holm's correction. */
  readonly pValue: number;
  /** Alarmed devices with this value, and all with it. */
  readonly covered: number;
  readonly inScope: number;
};

const P_MAX = 0.01;
const COVERED_MIN = 0.8;
/** Of values that are shared by the same devices, the one that is easiest to act on. */
const KEYS: readonly string[] = ["site", "hardware", "agentVersion", "model"];

/**
 * The attribute's value that the alarmed devices share: of the values with P(so many alarmed by chance) <= .01 after Holm's
 * correction that cover 80 % of the alarmed, the one whose devices differ least from the alarmed ones (missed and innocent ones count
 * alike); of equals the narrowest, then by key and value. null: none. Values that cannot reach .01 however the alarms fall are not tested.
 */
export function locate(devices: readonly PlacedDevice[]): Placed | null {
  const alarmed = devices.reduce((count, { isAlarmed }) => count + (isAlarmed ? 1 : 0), 0);
  if (alarmed === 0) return null;
  // Many values are of as few devices: each number is computed once.
  const least = new Map<number, number>();
  const leastOf = (inScope: number) => {
    const known = least.get(inScope);
    const tail = known ?? hypergeometricTail(Math.min(inScope, alarmed), inScope, alarmed, devices.length);
    least.set(inScope, tail);
    return tail;
  };
  const tested = valuesOf(devices).filter(({ inScope }) => leastOf(inScope) <= P_MAX);
  const pValues = holmAdjusted(
    tested.map(({ covered, inScope }) => hypergeometricTail(covered, inScope, alarmed, devices.length)),
  );
  const misfit = ({ covered, inScope }: Placed) => inScope - 2 * covered;
  const [best] = tested
    .map((value, i): Placed => ({ ...value, pValue: pValues[i] as number }))
    .filter(({ pValue, covered }) => pValue <= P_MAX && covered >= COVERED_MIN * alarmed)
    .sort((a, b) => misfit(a) - misfit(b) || a.inScope - b.inScope || rankOf(a) - rankOf(b) || byText(a, b));
  return best ?? null;
}

type Counted = Omit<Placed, "pValue">;

function valuesOf(devices: readonly PlacedDevice[]): readonly Counted[] {
  const counts = new Map<string, Map<string, { inScope: number; covered: number }>>();
  for (const { attributes, isAlarmed } of devices) {
    for (const [key, value] of Object.entries(attributes)) {
      const values = counts.get(key) ?? new Map<string, { inScope: number; covered: number }>();
      counts.set(key, values);
      const count = values.get(value) ?? { inScope: 0, covered: 0 };
      values.set(value, count);
      count.inScope += 1;
      if (isAlarmed) count.covered += 1;
    }
  }
  return [...counts].flatMap(([key, values]) => [...values].map(([value, count]) => ({ key, value, ...count })));
}

function rankOf({ key }: Counted): number {
  const rank = KEYS.indexOf(key);
  return rank === -1 ? KEYS.length : rank;
}

function byText(a: Counted, b: Counted): number {
  const [left, right] = [`${a.key} ${a.value}`, `${b.key} ${b.value}`];
  return left < right ? -1 : left > right ? 1 : 0;
}
