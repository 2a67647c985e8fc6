/**
 * Decides an experiment: is an arm worth more than the control, within the latency SLA?
 *
 * Each arm is compared with the control, the device as unit, by one-sided e-values (judge/evidence.ts), so one may look at any moment. Questions
 * are asked in an order that is fixed beforehand: is the arm worse, in utility or in late answers beyond the margin (`reject`)? Are late answers
 * within the margin, and is the utility higher (`adopt`)? Is the utility the same but for `rope` (`equivalent`)? Otherwise it goes on.
 *
 * J1. P(a wrong verdict, ever) is at most `alpha`. Whatever the true gain is, at most two of the three verdicts are wrong, each with at most half
 *     of alpha: `reject` by the mean of two e-values, `adopt` and `equivalent` by two tests of which one is of a true hypothesis (Berger 1982).
 *     With several arms each has its share of alpha.
 * J2. Weights, margins and the mixtures' variances are fixed before the first look.
 */
import { Failure } from "@tributary/kernel";
import { type Compared, compare, effectiveSampleSizes } from "../judge/comparison.ts";
import { type Band, bandOf, type Comparison, logEvidence, logSum, mixtureVariance } from "../judge/evidence.ts";
import { type Forecast, forecast } from "../judge/forecast.ts";
import { logMixed, type MixtureShare } from "../judge/harm-process.ts";
import { widened } from "../judge/metric-watch.ts";
import { LABELS_MIN } from "../judge/plan.ts";
import { type ArmLanes, compareUtility, type LaneName, laneNames, unitOf, type Weights } from "./lanes.ts";

export type ExperimentSettings = {
  /** Wrong verdicts allowed, over all arms. */
  readonly alpha: number;
  readonly weights: Weights;
  /** Utilities that differ by less are the same (region of practical equivalence); in currency per frame. */
  readonly rope: number;
  /** The share of late answers may rise by less than this. */
  readonly lateMargin: number;
  readonly burnInMs: number;
  /** Variances of the comparisons at the moment at which evidence should grow fastest; see `plannedVariances`. */
  readonly planned: { readonly utility: number; readonly late: number };
  /** Beside the control. */
  readonly arms: number;
};

export const experimentDefaults = { alpha: 0.05, lateMargin: 0.005, burnInMs: 10 * 60_000 } as const;

export type ArmVerdict = "adopt" | "reject" | "equivalent" | "undecided";

/** Arm less control. */
export type Difference = { readonly estimate: number; readonly band: Band };

/** ln e for each question. */
export type ExperimentLogs = Readonly<Record<"better" | "worse" | "same" | "lateWithin" | "lateBeyond", number>>;

export type Judged = {
  readonly verdict: ArmVerdict;
  /** Of `reject`. */
  readonly because: "utility" | "late" | null;
  readonly logs: ExperimentLogs;
};

export type ArmLook = Judged & {
  /** Currency per frame. */
  readonly gain: Difference;
  readonly lanes: Readonly<Record<LaneName, Difference>>;
  /** Of an undecided arm, if its estimate stays: when it is better or worse, and when it is the same. */
  readonly missing: { readonly difference: Forecast; readonly equivalence: Forecast } | null;
};

export class ExperimentJudge {
  /** ln e that a verdict needs. */
  readonly logNeeded: number;
  /** Of the comparisons, see ExperimentSettings. */
  readonly planned: ExperimentSettings["planned"];
  readonly #settings: ExperimentSettings;
  readonly #utility: Mixtures;
  readonly #late: Mixtures;

  /** Throws Failure `weights-invalid`, `rope-invalid` or `late-margin-invalid`. */
  constructor(settings: ExperimentSettings) {
    const { alpha, arms, weights, rope, lateMargin, planned } = settings;
    const unit = unitOf(weights);
    if (!(rope > 0 && rope < unit)) {
      const message = `rope must be above 0 and below the largest weight, ${unit}: ${rope}`;
      throw new Failure("rope-invalid", "ask-a-person", message);
    }
    if (!(lateMargin > 0 && lateMargin < 1)) {
      throw new Failure("late-margin-invalid", "ask-a-person", `lateMargin must be between 0 and 1: ${lateMargin}`);
    }
    const alphaOfOne = alpha / (2 * arms); // J1
    this.logNeeded = -Math.log(alphaOfOne);
    this.planned = planned;
    this.#settings = settings;
    // Where labels are few, it is planned for a later moment: that at which the gain is known to the rope.
    this.#utility = mixturesOf(mixtureVariance(Math.min(planned.utility, rope * rope), alphaOfOne), unit);
    this.#late = mixturesOf(mixtureVariance(planned.late, alphaOfOne), 1);
  }

  /** `sinceMs`: since the start. Null: in the burn-in, and while a lane of an arm has too little. */
  look(sinceMs: number, control: ArmLanes, arm: ArmLanes): ArmLook | null {
    const { weights, burnInMs, alpha, arms } = this.#settings;
    const labels = effectiveSampleSizes(control.correct, arm.correct);
    if (sinceMs < burnInMs || (labels !== null && Math.min(labels.control, labels.canary) < LABELS_MIN)) return null;
    const utility = compareUtility(control, arm, weights);
    const lanes = comparedLanes(control, arm);
    if (utility === null || lanes === null) return null;
    const judged = this.judged(utility, lanes.late);
    const band = (compared: Compared, mixture: number) => difference(compared, mixture, alpha / arms);
    return {
      ...judged,
      gain: band(utility, this.#utility.narrow),
      lanes: {
        correct: band(lanes.correct, LANE_MIXTURE),
        escalated: band(lanes.escalated, LANE_MIXTURE),
        late: band(lanes.late, this.#late.narrow),
      },
      missing: judged.verdict === "undecided" ? this.#missing(utility, sinceMs) : null,
    };
  }

  /** The verdict on two comparisons: how far the control's utility, and its late share, are above the arm's. */
  judged(utility: Comparison, late: Comparison): Judged {
    const { lateMargin } = this.#settings;
    const { wide } = this.#late;
    const logs = {
      better: this.#better(utility),
      worse: this.#worse(utility),
      same: this.#same(utility),
      lateWithin: logMixed({ ...late, harm: lateMargin + late.harm }, wide),
      lateBeyond: logMixed({ ...late, harm: -late.harm - lateMargin }, wide),
    };
    return { ...verdictOf(logs, this.logNeeded), logs };
  }

  #better(utility: Comparison): number {
    return logMixed({ ...utility, harm: -utility.harm }, this.#utility.wide);
  }

  #worse(utility: Comparison): number {
    return logMixed(utility, this.#utility.wide);
  }

  /** The lesser of two one-sided tests: both must reject. */
  #same(utility: Comparison): number {
    const { rope } = this.#settings;
    const { narrow } = this.#utility;
    return Math.min(
      ...[rope - utility.harm, rope + utility.harm].map((harm) => logEvidence({ ...utility, harm }, narrow)),
    );
  }

  #missing(utility: Compared, sinceMs: number): NonNullable<ArmLook["missing"]> {
    const after = (logOf: (one: Comparison) => number) => forecast(utility, sinceMs, logOf, this.logNeeded);
    return {
      difference: after((one) => (one.harm < 0 ? this.#better(one) : this.#worse(one))),
      equivalence: after((one) => this.#same(one)),
    };
  }
}

/** For differences about as planned, and for those that nobody planned for as well (judge/metric-watch.ts). */
type Mixtures = { readonly narrow: number; readonly wide: readonly MixtureShare[] };
const mixturesOf = (narrow: number, unit: number): Mixtures => ({ narrow, wide: widened(narrow, unit) });

/** The bands of lanes that decide nothing by themselves are narrowest for differences of about 3 points. */
const LANE_MIXTURE = 0.03 ** 2;

function comparedLanes(control: ArmLanes, arm: ArmLanes): Readonly<Record<LaneName, Compared>> | null {
  const [correct, escalated, late] = laneNames.map((lane) => compare(control[lane], arm[lane]));
  return correct && escalated && late ? { correct, escalated, late } : null;
}

/** J1. */
function verdictOf(logs: ExperimentLogs, needed: number): Pick<Judged, "verdict" | "because"> {
  const harmful = logSum([logs.worse - Math.LN2, logs.lateBeyond - Math.LN2]);
  if (harmful >= needed) return { verdict: "reject", because: logs.lateBeyond > logs.worse ? "late" : "utility" };
  if (logs.lateWithin >= needed && logs.better >= needed) return { verdict: "adopt", because: null };
  if (logs.same >= needed) return { verdict: "equivalent", because: null };
  return { verdict: "undecided", because: null };
}

function difference(compared: Compared, mixture: number, alpha: number): Difference {
  const { lower, upper } = bandOf(compared, mixture, alpha);
  return { estimate: -compared.harm, band: { lower: -upper, upper: -lower } };
}
