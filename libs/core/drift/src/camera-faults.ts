/**
 * Names what happened to cameras by the direction in which their pictures changed, compared with how faults made on purpose change
 * those of the validation set.
 *
 * N1. A fault that is in no codebook is near some other one. Each name is given up to the distance at which another fault of the
 *     codebook comes, and only so far that of the faults left out in turn at most `WRONG_MAX` would get one. */
import { type FaultExample, type FaultExamples, shiftParts } from "@tributary/inference";
import { type NamedFault, nearestOf } from "./codebook.ts";

/** Where cameras changed: one among others that did not, several of a site, or that is not known. */
export type Where = "camera" | "site" | "anywhere";

/** Square root of the part of the change that the nearest example leaves unexplained, at most; .6 is an angle with a cosine of .8. */
const DISTANCE_MAX = 0.6;
/** Share of the faults that are in no codebook and get a name all the same. */
const WRONG_MAX = 0.1;
/** The second name is further by at least so much: otherwise it is either. */
const AHEAD_MIN = 0.05;
/** Fewer names teach nothing of each other. */
const NAMES_MIN = 12;
/** Severity relative to an example's, of which there are several. */
const SEVERITY = { min: 0.6, max: 1.6 } as const;
/** The same, where a fault was made once. */
const SEVERITY_OF_ONE = { min: 0.2, max: 3 } as const;

type Shift = Readonly<Record<string, number>>;

/** Part of the spread that all streams have. */
const SPREAD_MIN = 0.05;
/** Smaller examples are faults that this model's pictures do not show: a colour cast of grey ones. */
const SHIFT_MIN = 0.06;

export class FaultNames {
  readonly examples: readonly FaultExample[];
  readonly #parts: readonly { readonly name: string; readonly place: FaultExample["place"]; readonly parts: Shift }[];
  /** By name, up to which distance it is given. */
  readonly distances: ReadonlyMap<string, number>;
  /** By part of a change (shiftParts), how much frames without a fault differ among themselves, also by their mixes of classes. */
  readonly spread: Shift;
  readonly #severity: { readonly min: number; readonly max: number };

  constructor({ examples, spread }: FaultExamples) {
    this.spread = spread;
    const parts = examples.map((example) => ({ example, parts: shiftParts(example.shifts) }));
    const shown = parts.filter(({ parts: of }) => sizeOf(of) >= SHIFT_MIN);
    this.examples = shown.map(({ example }) => example);
    this.#parts = shown.map(({ example: { name, place }, parts: of }) => ({ name, place, parts: of }));
    this.#severity = new Set(examples.map(({ name }) => name)).size === examples.length ? SEVERITY_OF_ONE : SEVERITY;
    this.distances = this.#learned();
  }

  /**
   * The fault whose example is nearest to a shift (now - before, by stream and picture change); null when none is near, or two are.
   * `frames` are those behind the shift, whose noise (at least 1/12/frames for each, that of a value uniform over the bins) is no
   * distance. The mix of predicted classes (label:CLASS) depends on what a camera sees and is not compared.
   */
  nearest(shift: Shift, frames: number, where: Where = "anywhere"): NamedFault | null {
    const distances = this.#distances(shiftParts(shift), frames, where);
    const named = nearestOf([...distances].map(([name, distance]) => ({ name, distance })));
    if (named === null || named.distance > (this.distances.get(named.name) ?? 0)) return null;
    return named.runnerUpDistance < named.distance + AHEAD_MIN ? null : named;
  }

  /** N1. */
  #learned(): ReadonlyMap<string, number> {
    const names = [...new Set(this.#parts.map(({ name }) => name))];
    if (names.length < NAMES_MIN) return new Map(names.map((name) => [name, DISTANCE_MAX]));
    const rows = this.#parts.map(({ name, place, parts }) => {
      const where = place === "both" ? "anywhere" : place;
      return { name, distances: this.#distances(parts, Number.POSITIVE_INFINITY, where) };
    });
    // How near other faults than `but` come to a name.
    const nearest = (name: string, but: string) =>
      rows.reduce((least, row) => {
        return row.name === name || row.name === but ? least : Math.min(least, row.distances.get(name) ?? DISTANCE_MAX);
      }, DISTANCE_MAX);
    const leftOut = rows.flatMap(({ name, distances }) => {
      const [first] = [...distances].filter(([other]) => other !== name).sort(([, a], [, b]) => a - b);
      return first === undefined ? [] : [first[1] / Math.max(1e-9, nearest(first[0], name))];
    });
    const order = leftOut.sort((a, b) => a - b);
    const share = Math.min(1, order[Math.floor(WRONG_MAX * order.length)] ?? 1);
    return new Map(names.map((name) => [name, share * nearest(name, "")]));
  }

  /** By name, of those that can be there: rain is no fault of one camera among dry ones, and a whole site is not out of focus. */
  #distances(shift: Shift, frames: number, where: Where): ReadonlyMap<string, number> {
    const best = new Map<string, number>();
    for (const { name, place, parts } of this.#parts) {
      if (where !== "anywhere" && place !== "both" && place !== where) continue;
      const distance = distanceTo(parts, shift, frames, this.spread, this.#severity);
      best.set(name, Math.min(distance, best.get(name) ?? Number.POSITIVE_INFINITY));
    }
    return best;
  }
}

/** Streams that wander by themselves weigh less. */
function distanceTo(
  fault: Shift,
  shift: Shift,
  frames: number,
  spread: Shift,
  { min, max }: { readonly min: number; readonly max: number },
): number {
  let [own, both, total, noise] = [0, 0, 0, 0];
  for (const name in fault) {
    if (!Object.hasOwn(shift, name)) continue;
    const [f, s] = [fault[name] as number, shift[name] as number];
    const weight = 1 / (SPREAD_MIN ** 2 + (spread[name] ?? 0) ** 2);
    own += weight * f * f;
    both += weight * f * s;
    total += weight * s * s;
    noise += weight / 12 / frames;
  }
  if (own === 0 || total === 0 || both <= 0) return 1;
  const severity = Math.max(min, Math.min(max, both / own));
  const rest = total - 2 * severity * both + severity * severity * own;
  return Math.sqrt(Math.max(0, rest - noise) / total);
}

const sizeOf = (shift: Shift): number => Math.sqrt(Object.values(shift).reduce((sum, value) => sum + value * value, 0));
