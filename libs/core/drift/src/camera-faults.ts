/**
 * Names what happened to cameras by the direction in which their pictures changed, compared with how faults made on purpose change
 * those of the validation set.
 *
 * N1. A fault that is in no codebook is near some other one. How near is learned from the codebook itself: each fault is left out in
 *     turn, and a name is given only where at most `WRONG_MAX` of the faults left out would get one. */
import type { FaultExample } from "@tributary/inference";
import { type NamedFault, nearestOf } from "./codebook.ts";

/** Where cameras changed: one among others that did not, several of a site, or it cannot be said. */
export type Where = "camera" | "site" | "anywhere";

/** Square root of the part of the change that the nearest example leaves unexplained, at most; .6 is an angle with a cosine of .8. */
const DISTANCE_MAX = 0.6;
/** Share of the faults that are in no codebook and get a name all the same. */
const WRONG_MAX = 0.05;
/** The second name is further by at least so much: otherwise it is either. */
const AHEAD_MIN = 0.05;
/** Severity relative to an example's, of which there are several. */
const SEVERITY = { min: 0.6, max: 1.6 } as const;
/** The same, where a fault was made once. */
const SEVERITY_OF_ONE = { min: 0.2, max: 3 } as const;

type Shift = Readonly<Record<string, number>>;

/** Smaller examples are faults that this model's pictures do not show: a colour cast of grey ones. */
const SHIFT_MIN = 0.06;

/**
 * A shift as what it is made of. Three channels of a grey picture are one thing and not three, as confidence, margin and entropy are:
 * what several streams have in common counts once, and beside it how they differ.
 */
function partsOf(shift: Shift): Shift {
  const parts: Record<string, number> = {};
  for (const name in shift) if (!name.startsWith("label:")) parts[name] = shift[name] as number;
  const entropy = -(parts.entropy ?? 0);
  joined({ ...parts, entropy }, parts, "certainty", ["confidence", "margin", "entropy"], false);
  joined(parts, parts, "light", ["luminance", "channel_mean_r", "channel_mean_g", "channel_mean_b"], true);
  joined(parts, parts, "contrast", ["channel_sd_r", "channel_sd_g", "channel_sd_b"], true);
  return parts;
}

/** Replaces streams by their mean and, if wanted, by what each differs from it. */
function joined(
  values: Shift,
  into: Record<string, number>,
  name: string,
  of: readonly string[],
  differs: boolean,
): void {
  const present = of.filter((stream) => stream in into);
  if (present.length === 0) return;
  const mean = present.reduce((sum, stream) => sum + (values[stream] as number), 0) / present.length;
  for (const stream of present) {
    if (differs) into[stream] = (values[stream] as number) - mean;
    else delete into[stream];
  }
  into[name] = mean;
}

export class FaultNames {
  readonly examples: readonly FaultExample[];
  readonly #parts: readonly { readonly name: string; readonly parts: Shift }[];
  /** At which a name is given. */
  readonly distanceMax: number;
  readonly #severity: { readonly min: number; readonly max: number };

  constructor(examples: readonly FaultExample[]) {
    const parts = examples.map((example) => ({ example, parts: partsOf(example.shifts) }));
    const shown = parts.filter(({ parts: of }) => sizeOf(of) >= SHIFT_MIN);
    this.examples = shown.map(({ example }) => example);
    this.#parts = shown.map(({ example: { name }, parts: of }) => ({ name, parts: of }));
    this.#severity = new Set(examples.map(({ name }) => name)).size === examples.length ? SEVERITY_OF_ONE : SEVERITY;
    this.distanceMax = this.#learned();
  }

  /**
   * The fault whose example is nearest to a shift (now - before, by stream and picture change); null when none is near, or two are.
   * `frames` are those behind the shift, whose noise (at least 1/12/frames for each, that of a value uniform over the bins) is no
   * distance. The mix of predicted classes (label:CLASS) depends on what a camera sees and is not compared.
   */
  nearest(shift: Shift, frames: number, where: Where = "anywhere"): NamedFault | null {
    const named = this.#ranked(partsOf(shift), frames, this.#parts);
    if (named === null || named.distance > this.distanceMax) return null;
    if (named.runnerUpDistance < named.distance + AHEAD_MIN) return null;
    const place = this.examples.find(({ name }) => name === named.name)?.place ?? "both";
    // Rain is no fault of one camera among dry ones, and a whole site's cameras are not out of focus.
    return where === "anywhere" || place === "both" || place === where ? named : null;
  }

  #ranked(
    shift: Shift,
    frames: number,
    examples: readonly { readonly name: string; readonly parts: Shift }[],
  ): NamedFault | null {
    const best = new Map<string, number>();
    for (const { name, parts } of examples) {
      const distance = distanceTo(parts, shift, frames, this.#severity);
      best.set(name, Math.min(distance, best.get(name) ?? Number.POSITIVE_INFINITY));
    }
    return nearestOf([...best].map(([name, distance]) => ({ name, distance })));
  }

  /** N1. */
  #learned(): number {
    const nearest = this.#parts
      .map(({ name, parts }) => {
        const others = this.#parts.filter((example) => example.name !== name);
        return this.#ranked(parts, Number.POSITIVE_INFINITY, others)?.distance ?? 1;
      })
      .sort((a, b) => a - b);
    if (nearest.length < 1 / WRONG_MAX) return DISTANCE_MAX;
    return Math.min(DISTANCE_MAX, nearest[Math.floor(WRONG_MAX * nearest.length)] as number);
  }
}

function distanceTo(
  fault: Shift,
  shift: Shift,
  frames: number,
  { min, max }: { readonly min: number; readonly max: number },
): number {
  let [own, both, total, compared] = [0, 0, 0, 0];
  for (const name in fault) {
    const s = shift[name];
    if (s === undefined) continue;
    const f = fault[name] as number;
    own += f * f;
    both += f * s;
    total += s * s;
    compared++;
  }
  if (own === 0 || total === 0 || both <= 0) return 1;
  const severity = Math.max(min, Math.min(max, both / own));
  const rest = total - 2 * severity * both + severity * severity * own;
  const noise = (compared - 1) / 12 / frames;
  return Math.sqrt(Math.max(0, rest - noise) / total);
}

const sizeOf = (shift: Shift): number => Math.sqrt(Object.values(shift).reduce((sum, value) => sum + value * value, 0));
