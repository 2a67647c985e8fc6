/** What the alarmed devices have in common. */
import { holmAdjusted, hypergeometricTail } from "@tributary/statistics";
import { type Attributes, Population } from "./population.ts";

export type PlacedDevice = { readonly attributes: Attributes; readonly isAlarmed: boolean };

export type Placed = {
  readonly key: string;
  readonly value: string;
  /** Of the hypergeometric tail, after Holm's correction. */
  readonly pValue: number;
  /** Alarmed devices with this value, and all with it. */
  readonly covered: number;
  readonly inScope: number;
};

export type Place = Pick<Placed, "key" | "value">;

const P_MAX = 0.01;
const COVERED_MIN = 0.8;
/** A place where nearly all devices are alarmed has at least this many. */
const DENSE_DEVICES_MIN = 3;
/** What a place that was found before has to keep. */
const KEPT = { pMax: 0.05, coveredMin: 0.6 } as const;
/** Of values that are shared by the same devices, the one that is easiest to act on. */
const KEYS: readonly string[] = ["site", "hardware", "agentVersion", "model"];

/**
 * The attribute's value that the alarmed devices share: of the values with P(so many alarmed by chance) <= .01 after Holm's
 * correction that cover 80 % of the alarmed, the one whose devices differ least from the alarmed ones (missed and innocent ones count
 * alike); of equals the narrowest, then by key and value. null: none. Values that cannot reach .01 however the alarms fall are not tested.
 */
export function locate(devices: readonly PlacedDevice[]): Placed | null {
  const alarmed = devices.filter(({ isAlarmed }) => isAlarmed).map(({ attributes }) => attributes);
  const places = placesOf(alarmed, Population.of(devices.map(({ attributes }) => attributes)));
  return bestOf(places.filter(({ pValue, covered }) => pValue <= P_MAX && covered >= COVERED_MIN * alarmed.length));
}

/**
 * The same, where things may have happened at several places: if no value covers most of the alarmed devices, the one most of whose
 * devices are alarmed; else one of `known`, the places found before, that still nearly holds.
 */
export function locateOneOf(
  alarmed: readonly Attributes[],
  population: Population,
  known: readonly Place[],
): Placed | null {
  const places = placesOf(alarmed, population);
  const likely = places.filter(({ pValue }) => pValue <= P_MAX);
  const covering = bestOf(likely.filter(({ covered }) => covered >= COVERED_MIN * alarmed.length));
  if (covering !== null) return covering;
  const dense = likely.filter(
    ({ covered, inScope }) => covered >= DENSE_DEVICES_MIN && covered >= COVERED_MIN * inScope,
  );
  const kept = places.filter(
    ({ key, value, pValue, covered }) =>
      pValue <= KEPT.pMax &&
      covered >= KEPT.coveredMin * alarmed.length &&
      known.some((place) => place.key === key && place.value === value),
  );
  return bestOf(dense) ?? bestOf(kept);
}

/** Values that any alarmed device has, with their p-values. */
function placesOf(alarmed: readonly Attributes[], population: Population): readonly Placed[] {
  if (alarmed.length === 0) return [];
  const { size } = population;
  const tail = (covered: number, inScope: number) => hypergeometricTail(covered, inScope, alarmed.length, size);
  const canReach = new Map<number, boolean>(); // by number of devices
  const covered = Population.of(alarmed);
  const tested: Omit<Placed, "pValue">[] = [];
  let tests = 0;
  for (const { key, value, devices } of population.values()) {
    let isTested = canReach.get(devices);
    if (isTested === undefined) {
      isTested = devices > 0 && tail(Math.min(devices, alarmed.length), devices) <= P_MAX;
      canReach.set(devices, isTested);
    }
    if (!isTested) continue;
    tests++;
    const ofAlarmed = covered.with(key, value);
    if (ofAlarmed > 0) tested.push({ key, value, covered: ofAlarmed, inScope: devices });
  }
  const pValues = holmAdjusted(
    tested.map((place) => tail(place.covered, place.inScope)),
    tests,
  );
  return tested.map((place, i) => ({ ...place, pValue: pValues[i] as number }));
}

function bestOf(places: readonly Placed[]): Placed | null {
  const misfit = ({ covered, inScope }: Placed) => inScope - 2 * covered;
  const [best] = [...places].sort(
    (a, b) => misfit(a) - misfit(b) || a.inScope - b.inScope || rankOf(a) - rankOf(b) || byText(a, b),
  );
  return best ?? null;
}

function rankOf({ key }: Place): number {
  const rank = KEYS.indexOf(key);
  return rank === -1 ? KEYS.length : rank;
}

function byText(a: Place, b: Place): number {
  const [left, right] = [`${a.key} ${a.value}`, `${b.key} ${b.value}`];
  return left < right ? -1 : left > right ? 1 : 0;
}
