/** Labelled draws of a fleet, as a stranger's: classes of unlike recalls, cameras with their own mixes, unequal propensities, labels in
 * bursts, of some classes only, by people who choose, and devices whose tables start again. */
import type { ClassedDraw } from "@tributary/drift";
import { type Random, seededRandom } from "@tributary/kernel";

export type LossCase = {
  readonly classes: 2 | 10 | 20;
  /** Frames of the validation set. */
  readonly frames: number;
  /** Shares of classes: as in the validation set, or the camera's own. */
  readonly mix: "validated" | "own";
  readonly propensities: "equal" | "unequal";
  /** Points by which the error rate of these classes rose. */
  readonly points: number;
  readonly lost: "all" | "one";
  readonly labels: "at once" | "in bursts" | "of the wrong ones";
  /** Labelled frames. */
  readonly draws: number;
  /** Labelled frames that are kept; older ones go. */
  readonly drawsKept: number;
  readonly lookEvery: number;
};

export type Frame = ClassedDraw & { readonly device: number };
export type Fleet = {
  readonly validation: readonly { readonly items: number; readonly events: number }[];
  readonly frame: () => Frame;
  readonly random: Random;
};

const DEVICES = 8;
const PROPENSITY_MIN = 0.005;
/** The first of two classes has nine tenths of the validation set. */
const UNBALANCED = [0.9, 0.1] as const;
/** Error rates of a model that is bad at one of two classes. */
const RATES_OF_TWO = [0.12, 0.42] as const;

export function fleetOf(it: LossCase, seed: number): Fleet {
  const random = seededRandom(seed);
  const shares = Array.from({ length: it.classes }, (_, c) =>
    it.classes === 2 ? UNBALANCED[c as 0 | 1] : 1 / it.classes,
  );
  const rates = shares.map((_, c) => (it.classes === 2 ? RATES_OF_TWO[c as 0 | 1] : 0.05 + 0.03 * ((7 * c) % 10)));
  const validation = shares.map(() => ({ items: 0, events: 0 }));
  for (let frame = 0; frame < it.frames; frame++) {
    const truth = classAt(shares, random());
    const of = validation[truth] as { items: number; events: number };
    of.items += 1;
    if (random() < (rates[truth] as number)) of.events += 1;
  }
  const mix = it.mix === "validated" ? shares : ownMix(it.classes, random);
  const lostClass = it.classes === 2 ? 1 : 3;
  const now = rates.map((rate, c) => rate + (it.lost === "all" || c === lostClass ? it.points / 100 : 0));
  let at = 0;
  const frame = (): Frame => {
    for (;;) {
      const hardness = random();
      const propensity = it.propensities === "equal" ? 1 : PROPENSITY_MIN ** (1 - hardness);
      if (random() >= propensity) continue;
      const truth = classAt(mix, random());
      // Hard frames are lost and drawn more often; over all frames a class's rate is as given.
      const loss = random() < (now[truth] as number) * (0.5 + hardness);
      const weight = it.propensities === "equal" ? 1 : PROPENSITY_MIN / propensity;
      return { at: at++, truth, loss, weight, device: Math.floor(random() * DEVICES) };
    }
  };
  return { validation, frame, random };
}

/** Labels of some frames more, in the order in which they come; also takes away what a device has lost. */
export function* labelled(it: LossCase, { frame, random }: Fleet): Generator<readonly Frame[]> {
  let known: Frame[] = [];
  let pending: Frame[] = [];
  let left = it.draws;
  while (left > 0) {
    const size = it.labels === "in bursts" ? 1 + Math.floor(60 * random() ** 2) : 1;
    while (pending.length < (it.labels === "in bursts" ? 100 : 1)) {
      const next = frame();
      if (it.labels === "in bursts" && next.truth === 0) continue; // nobody labels this class
      if (it.labels === "of the wrong ones" && !next.loss && random() > 1 / 3) continue;
      pending.push(next);
    }
    for (let i = 0; i < size && pending.length > 0 && left > 0; i++, left--) {
      known.push(...pending.splice(Math.floor(random() * pending.length), 1));
    }
    if (it.labels === "in bursts" && random() < 0.02) {
      const restarted = Math.floor(random() * DEVICES);
      known = known.filter(({ device }) => device !== restarted);
      pending = pending.filter(({ device }) => device !== restarted);
    }
    if (known.length > it.drawsKept) known = known.slice(-it.drawsKept);
    yield it.labels === "in bursts" ? known.toSorted((a, b) => a.at - b.at) : known;
  }
}

function classAt(shares: readonly number[], at: number): number {
  let left = at;
  for (const [c, share] of shares.entries()) {
    left -= share;
    if (left < 0) return c;
  }
  return shares.length - 1;
}

/** Of two classes the rare one is most of what the camera sees; of more, three are, of unlike shares. */
function ownMix(classes: number, random: Random): readonly number[] {
  if (classes === 2) return [0.1, 0.9];
  const mix = new Array<number>(classes).fill(0.1 / classes);
  for (const share of [0.5, 0.25, 0.15]) {
    const c = Math.floor(random() * classes);
    mix[c] = (mix[c] as number) + share;
  }
  return mix;
}
