/** Evidence of harm over the looks at one comparison: an e-process. Harm may start late: every `restartMs` another e-process
 * starts from the counts of that moment, with weight 1/(j(j+1)), so the weights of all that will ever start add up to one and
 * the sum stays an e-value. Where none ever starts the first has all of it. Only the last `STARTS_MAX` of these are kept (G9): what is dropped counts as 0 from then on, which
 * claims less. The mixture's variance is fixed before the first look; choosing it later would be looking. */
import { type Arm, type Compared, compare, type Least, type Start, type Started } from "./comparison.ts";
import { type Comparison, logEvidence, logSum } from "./evidence.ts";

export type Counts = { readonly control: Arm; readonly canary: Arm };

/** A share of a mixture and its variance, in units of the metric squared; the shares add up to one (Robbins 1970). */
export type MixtureShare = { readonly share: number; readonly variance: number };

export type HarmSettings = {
  /** Harm that is tolerated, in units of the metric. */
  readonly tolerated: number;
  readonly restartMs: number;
  readonly mixture: readonly MixtureShare[];
  /** Too little for it is no evidence: e = 1. */
  readonly least?: Partial<Least>;
};

export type HarmLook = {
  readonly comparison: Compared;
  /** ln e for harm above what is tolerated. */
  readonly logHarm: number;
};

/** What a restarted instance needs. */
export type HarmProcessState = {
  readonly started: number;
  readonly starts: readonly { readonly j: number; readonly at: Start }[];
};

/** Six hours of late starts. */
const STARTS_MAX = 12;

export class HarmProcess {
  readonly #settings: HarmSettings;
  /** Counts at the later starts, the j-th after the first, which starts from nothing. */
  readonly #starts: { readonly j: number; readonly at: Start }[] = [];
  #started = 0;

  constructor(settings: HarmSettings) {
    this.#settings = settings;
  }

  state(): HarmProcessState {
    return { started: this.#started, starts: this.#starts };
  }

  restore({ started, starts }: HarmProcessState): void {
    this.#started = started;
    this.#starts.length = 0;
    for (const { j, at } of starts)
      this.#starts.push({ j, at: { control: copy(at.control), canary: copy(at.canary) } });
  }

  /** `sinceMs`: since the canary's start. `isJudged`: false in the burn-in. Null: then, and while there is too little. */
  look(sinceMs: number, { control, canary }: Counts, isJudged: boolean): HarmLook | null {
    const { restartMs, least } = this.#settings;
    const comparison = isJudged ? compare(control, canary, undefined, least) : null;
    const look = comparison === null ? null : { comparison, logHarm: this.#sum(comparison, { control, canary }) };
    if (sinceMs >= restartMs * (this.#started + 1)) {
      this.#started += 1;
      this.#starts.push({ j: this.#started, at: { control: copy(control), canary: copy(canary) } });
      if (this.#starts.length > STARTS_MAX) this.#starts.shift();
    }
    return look;
  }

  #sum(comparison: Comparison, { control, canary }: Counts): number {
    if (this.#settings.restartMs === Number.POSITIVE_INFINITY) return this.#logHarm(comparison);
    const weighed = (one: Comparison | null, j: number) =>
      (one === null ? 0 : this.#logHarm(one)) - Math.log((j + 1) * (j + 2));
    return logSum([
      weighed(comparison, 0),
      ...this.#starts.map(({ j, at }) => weighed(compare(control, canary, at, this.#settings.least), j)),
      -Math.log(this.#started + 2), // Those still to start are worth 1 each.
    ]);
  }

  #logHarm(comparison: Comparison): number {
    const { tolerated, mixture } = this.#settings;
    return logMixed({ ...comparison, harm: comparison.harm - tolerated }, mixture);
  }
}

/** ln e for "the harm is above 0". */
export const logMixed = (comparison: Comparison, mixture: readonly MixtureShare[]): number =>
  logSum(mixture.map(({ share, variance }) => Math.log(share) + logEvidence(comparison, variance)));

const copy = ({ good, frames, sample }: Started): Started => ({
  good: Float64Array.from(good),
  frames: Float64Array.from(frames),
  ...(sample && {
    sample: {
      labels: Float64Array.from(sample.labels),
      squares: Float64Array.from(sample.squares),
      badSquares: Float64Array.from(sample.badSquares),
    },
  }),
});
