/**
 * Are drawn frames of all arms labelled alike? An arm whose hard frames are labelled less often than the other's looks more accurate than it is,
 * and no weight mends that: the propensity with which a frame gets its label is not known, only that with which it was drawn.
 *
 * So the labelled share of drawn frames is compared between each arm and the control, the device as unit (judge/comparison.ts), among frames
 * for which the device's model expected to be right about as often. An e-value for each of these, either way, and their mean decides
 * (Vovk & Wang 2021), at whatever moment one looks. What all arms lack alike cannot be seen so: then the accuracies are of frames that get labels.
 */
import { compare } from "../judge/comparison.ts";
import { logEvidence, logSum } from "../judge/evidence.ts";
import { DEVICES_MIN, LABELS_MIN } from "../judge/plan.ts";

/** Below these the model expects to be right: hard, middling, easy. */
const [HARD, MIDDLING] = [0.6, 0.9];
const kinds = ["hard", "middling", "easy"] as const;
const kindOf = (expected: number): number => (expected < HARD ? 0 : expected < MIDDLING ? 1 : 2);

const LEVEL = 0.01;
/** Differences about which evidence grows fastest. */
const MIXTURE = 0.1 ** 2;

type Counted = { readonly drawn: Float64Array; readonly labelled: Float64Array };

/** What a restarted instance needs. */
export type LabelledShareState = {
  readonly counts: readonly (readonly Counted[])[];
  readonly log: number;
  readonly isUnlike: boolean;
  readonly why: string;
};

/** Drawn frames of each device of each arm, and those of them that have a label. */
export class LabelledShare {
  readonly #places: readonly ReadonlyMap<string, number>[];
  /** By arm and kind. */
  readonly #counts: readonly (readonly Counted[])[];
  /** ln e against "alike". */
  log = 0;
  isUnlike = false;
  readonly logNeeded = -Math.log(LEVEL);
  /** In words, what it is. */
  why = "";

  /** `arms`: the devices of each, the control first. */
  constructor(arms: readonly (readonly string[])[]) {
    this.#places = arms.map((devices) => new Map(devices.map((deviceId, i) => [deviceId, i])));
    this.#counts = arms.map((devices) =>
      kinds.map(() => ({ drawn: new Float64Array(devices.length), labelled: new Float64Array(devices.length) })),
    );
  }

  state(): LabelledShareState {
    const { log, isUnlike, why } = this;
    return { counts: this.#counts, log, isUnlike, why };
  }

  restore({ counts, log, isUnlike, why }: LabelledShareState): void {
    Object.assign(this, { log, isUnlike, why });
    for (const [arm, ofKinds] of this.#counts.entries()) {
      for (const [kind, { drawn, labelled }] of ofKinds.entries()) {
        const from = counts[arm]?.[kind];
        if (from === undefined) continue;
        drawn.set(from.drawn);
        labelled.set(from.labelled);
      }
    }
  }

  /** `expected`: probability by which the device's model expects to be right. */
  add(arm: number, deviceId: string, what: keyof Counted, expected: number, by: 1 | -1): void {
    const place = this.#places[arm]?.get(deviceId);
    const counted = this.#counts[arm]?.[kindOf(expected)];
    if (place === undefined || counted === undefined) return;
    counted[what][place] = Math.max(0, (counted[what][place] as number) + by);
  }

  /** Looks at what is counted by now. An alarm stays. */
  look(names: readonly string[]): void {
    const bets = names
      .slice(1)
      .flatMap((name, i) => kinds.map((kind, k) => ({ name, kind, log: this.#log(i + 1, k) })));
    this.log = logSum(bets.map(({ log }) => log - Math.log(bets.length)));
    if (this.isUnlike || this.log < this.logNeeded) return;
    this.isUnlike = true;
    const { name, kind } = bets.reduce((most, one) => (one.log > most.log ? one : most));
    this.why = `drawn frames that are ${kind} by the device's model are labelled more often in one of ${names[0]} and ${name} than in the other, so what their labels say does not compare`;
  }

  #log(arm: number, kind: number): number {
    const armOf = (i: number) => {
      const { drawn, labelled } = (this.#counts[i] as readonly Counted[])[kind] as Counted;
      const bad = drawn.map((all, at) => all - (labelled[at] as number));
      const sample = { labels: drawn, squares: drawn, badSquares: bad };
      return { good: labelled, frames: drawn, before: new Float64Array(drawn.length), sample };
    };
    const least = { devices: DEVICES_MIN, labels: LABELS_MIN };
    const compared = compare(armOf(0), armOf(arm), undefined, least);
    if (compared === null) return 0;
    const { harm } = compared;
    return logSum([harm, -harm].map((either) => logEvidence({ ...compared, harm: either }, MIXTURE) - Math.LN2));
  }
}
