/**
 * The cells in which a judge of accuracies is tried: what a fleet is like, what its arms differ in, and how its frames are
 * labelled. Everything is plain data; `fleet.ts` gives the model that the options are the parameters of.
 */

/** A share of the devices that is alike. Every device is assigned to a kind by chance. */
export type DeviceKind = {
  /** The share of devices of this kind; the shares sum to 1. */
  share: number;
  /** The difference in mean ease (probit units). */
  shift: number;
  /** The number of frames, as a multiple of `framesADay`. */
  frames: number;
  /** The number of labels, relative to other kinds; 0 means that no frame is ever labelled. */
  labels: number;
};

/**
 * A change of an arm's accuracy, by `points` (a fraction of all frames, negative for a loss): `even` on every frame, `hard` and
 * `easy` on the hardest fifth and the easier half of frames only, `class` on one class only. `device` shifts each device by a
 * chance of its own in -spread to spread (at frames with an even chance; less elsewhere), with mean zero. It begins on `fromDay`.
 */
type Effect = (
  | { kind: "even" | "hard" | "easy"; points: number }
  | { kind: "class"; points: number; class: number }
  | { kind: "device"; spread: number }
) & { fromDay?: number };

export type ArmPlan = {
  /** The number of devices. */
  devices: number;
  /** The changes against the common model; the model's confidence knows none of them. */
  effects?: Effect[];
  /** The noise with which confidence sees the ease (probit units, above 0), and what multiplies its logit: 1 is calibrated. */
  confidence?: { noiseSd: number; scale: number };
  /** The chance of a label for a hard frame, relative to others. Below 1, labels are missing by difficulty. */
  hardLabelChance?: number;
  /** The confidence below which the cloud answers, for an experiment of policies; no frame is escalated without it. */
  threshold?: number;
};

export type Scenario = {
  name: string;
  /** True where no judge of these labels can be right, since labels are missing by difficulty. */
  unmendable: boolean;
  /** The days of the comparison, and the days of labels before it, which every arm answered with the model of arm 0. */
  days: number;
  daysBefore: number;
  /** The arms; the first is the control. */
  arms: ArmPlan[];
  /** The shares of the fleet's classes, which sum to 1, and the ease of each (probit units). */
  classes: { share: number; shift: number }[];
  /** The share of a device's frames that shows its favourite class. */
  classFocus: number;
  kinds: DeviceKind[];
  /** The mean ease, and the standard deviations of ease between the devices of a kind and between frames (probit units). */
  skill: number;
  deviceSd: number;
  frameSd: number;
  /** Windows in which a device's frames share an effect (probit units) and, for the given share of frames, a class. */
  burst: { minutes: number; sd: number; sameClass: number };
  /** Shocks to the ease of all frames: the amplitude of the daily cycle, the standard deviation of days (probit units). */
  shock: { cycle: number; daySd: number };
  /** The frames of a device of `frames: 1` a day. */
  framesADay: number;
  /** The propensity: the same `budget` for every frame if `isEqual`, else by the confidence's uncertainty, at least `piMin`. */
  sampling: { isEqual: boolean; piMin: number; budget: number };
  labels: {
    /** The labels that arrive for a device and day, on average over devices; those that never come are not counted. */
    aDay: number;
    /** The mean number of frames that are sent to people together, from one burst (at least 1). */
    cluster: number;
    /** The lognormal delay: its median, the deviation of its logarithm, and the multiple of it that a hard frame's label takes. */
    delay: { minutes: number; sigma: number; hardTimes: number };
    /** The time between deliveries, if labels arrive in batches; 0 otherwise. */
    batchHours: number;
  };
  /** The cloud, for a policy: its gain of ease, and the shares of late answers from there (at a mean device) and from the edge. */
  cloud: { gain: number; late: number; edgeLate: number };
};

/** Classes of the given shares, from the easiest to the hardest. */
function ramp(shares: number[], spread: number): Scenario["classes"] {
  return shares.map((share, i) => ({ share, shift: spread * (1 - (2 * i) / Math.max(1, shares.length - 1)) }));
}

const shipped = { isEqual: false, piMin: 0.005, budget: 0.02 };
const equalPi = { isEqual: true, piMin: 0.02, budget: 0.02 };
const threefold = { isEqual: false, piMin: 0.011, budget: 0.02 };
const fiftyfold = { isEqual: false, piMin: 0.0025, budget: 0.075 };
const alike: DeviceKind[] = [{ share: 1, shift: 0, frames: 1, labels: 1 }];
const tenfold: DeviceKind[] = [
  { share: 0.9, shift: 0, frames: 1, labels: 1 },
  { share: 0.1, shift: 0, frames: 1, labels: 10 },
];
/** A third of devices is never labelled. */
const silentThird: DeviceKind[] = [
  { share: 1 / 3, shift: 0, frames: 1, labels: 0 },
  { share: 2 / 3, shift: 0, frames: 1, labels: 1 },
];
/** Some devices see ten times the frames, harder ones, and get ten times the labels. */
const busyHard: DeviceKind[] = [
  { share: 0.9, shift: 0, frames: 1, labels: 1 },
  { share: 0.1, shift: -0.8, frames: 10, labels: 10 },
];
/** A few devices are nearly blind. */
const blindFew: DeviceKind[] = [
  { share: 0.95, shift: 0.1, frames: 1, labels: 1 },
  { share: 0.05, shift: -2.5, frames: 1, labels: 1 },
];
const pairs = ramp([0.9, 0.1], 0.5);
const once = { batchHours: 24 };
const sharp = { noiseSd: 0.3, scale: 1 };
const blurred = { noiseSd: 2, scale: 1 };
const boastful = { noiseSd: 0.7, scale: 2 };

type Changes = Partial<Omit<Scenario, "labels" | "name">> & { labels?: Partial<Scenario["labels"]> };

/** A plain cell, with changes: ten classes, one device in ten with ten times the labels, the shipped sampling. */
function cell(name: string, arms: ArmPlan[], aDay: number, { labels, ...changes }: Changes = {}): Scenario {
  return {
    name,
    arms,
    unmendable: false,
    days: 6,
    daysBefore: 0,
    classes: ramp([0.25, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.04, 0.03, 0.03], 0.4),
    classFocus: 0.3,
    kinds: tenfold,
    skill: 1.8,
    deviceSd: 0.35,
    frameSd: 1,
    burst: { minutes: 5, sd: 0.5, sameClass: 0.5 },
    shock: { cycle: 0.2, daySd: 0.1 },
    framesADay: 86_400,
    sampling: shipped,
    labels: { aDay, cluster: 1, delay: { minutes: 120, sigma: 1.2, hardTimes: 1 }, batchHours: 0, ...labels },
    cloud: { gain: 1, late: 0.05, edgeLate: 0.002 },
    ...changes,
  };
}

const arms = (
  control: number,
  challenger: number,
  plan: Partial<ArmPlan> = {},
  both: Partial<ArmPlan> = {},
): ArmPlan[] => [
  { devices: control, ...both },
  { devices: challenger, ...both, ...plan },
];
const effect = (kind: "even" | "hard" | "easy", points: number, fromDay = 0) => ({
  effects: [{ kind, points, fromDay }],
});
const ofClass = (index: number, points: number): Partial<ArmPlan> => ({
  effects: [{ kind: "class", class: index, points }],
});
const retrained = (spread: number, ...more: Effect[]): Partial<ArmPlan> => ({
  effects: [{ kind: "device", spread }, ...more],
});

/** The cells to develop a judge on: no effect, losses and gains, and the extremes of each axis. */
export const scenarios: Scenario[] = [
  cell("null", arms(200, 200), 12),
  cell("null, equal propensity", arms(200, 200), 3, { sampling: equalPi }),
  cell("null, canary of 5 %", arms(1900, 100), 3),
  cell("null, 20 devices an arm", arms(20, 20), 3),
  cell("null, 3,000 devices, 144 labels", arms(2850, 150), 144),
  cell("null, a label in four days", arms(500, 500), 0.25),
  cell("null, 50-fold propensities, few labels", arms(100, 100), 0.5, { sampling: fiftyfold }),
  cell("null, challenger of other confidence", arms(200, 200, { confidence: blurred }, { confidence: sharp }), 3, {
    sampling: fiftyfold,
  }),
  cell("null, over-confident", arms(200, 200, {}, { confidence: boastful }), 3),
  cell("null, retrained", arms(200, 200, retrained(0.2)), 12),
  cell("null, labels in clusters", arms(100, 100), 12, {
    labels: { cluster: 12 },
    burst: { minutes: 5, sd: 1, sameClass: 0.9 },
  }),
  cell("null, heavy shocks", arms(60, 60), 12, { shock: { cycle: 0.8, daySd: 0.4 }, labels: once }),
  cell("null, hard labels missing in both", arms(200, 200, {}, { hardLabelChance: 0.5 }), 12, { unmendable: true }),
  cell("null, hard labels missing in one", arms(200, 200, { hardLabelChance: 0.5 }), 12, { unmendable: true }),
  cell("loss of 3", arms(200, 200, effect("even", -0.03)), 12),
  cell("loss of 1, 3,000 devices", arms(1500, 1500, effect("even", -0.01)), 12, { sampling: threefold }),
  cell("loss of 2, a label in four days", arms(1500, 1500, effect("even", -0.02)), 0.25),
  cell("loss of 5, canary of 20", arms(380, 20, effect("even", -0.05)), 1),
  cell("loss of 3 on hard frames", arms(200, 200, effect("hard", -0.03)), 3, { sampling: fiftyfold }),
  cell("loss of 3 on easy frames", arms(200, 200, effect("easy", -0.03)), 3, { sampling: fiftyfold }),
  cell("loss of 2 on one class", arms(200, 200, ofClass(5, -0.02)), 12),
  cell("loss of 5 from day 3", arms(200, 200, effect("even", -0.05, 3)), 12, { daysBefore: 1 }),
  cell("gain of 2, equal propensity", arms(200, 200, effect("even", 0.02)), 3, { sampling: equalPi }),
  cell("gain of 3, retrained", arms(500, 500, retrained(0.1, { kind: "even", points: 0.03 })), 1),
  cell("null and loss of 4, three arms", [...arms(300, 100), { devices: 100, ...effect("even", -0.04) }], 3),
  cell("policies of one threshold", arms(200, 200, {}, { threshold: 0.8 }), 12),
  cell("policies of two thresholds", arms(200, 200, { threshold: 0.9 }, { threshold: 0.7 }), 12),
];

/** The cells to try a finished judge on: other mixes, spreads and habits of labelling. */
export const unseen: Scenario[] = [
  cell("unseen: two classes", arms(150, 150), 6, { classes: pairs, classFocus: 0.8 }),
  cell("unseen: two classes, the rare one lost", arms(250, 250, ofClass(1, -0.03)), 6, { classes: pairs }),
  cell("unseen: a batch a day", arms(80, 80), 24, { labels: { ...once, cluster: 6 } }),
  cell("unseen: a batch a day, loss of 4", arms(80, 40, effect("even", -0.04)), 24, {
    labels: { ...once, cluster: 6 },
  }),
  cell("unseen: a third never labelled", arms(300, 60), 2, { kinds: silentThird }),
  cell("unseen: a third never labelled, gain of 2", arms(900, 300, effect("even", 0.02)), 2, { kinds: silentThird }),
  cell("unseen: busy devices are hard", arms(300, 300), 5, { kinds: busyHard, framesADay: 20_000 }),
  cell("unseen: busy devices are hard, hard frames lost", arms(300, 100, effect("hard", -0.02)), 5, {
    kinds: busyHard,
  }),
  cell("unseen: few blind devices", arms(40, 40), 8, { kinds: blindFew, deviceSd: 0.1 }),
  cell("unseen: few blind devices, loss of 3", arms(200, 40, effect("even", -0.03)), 8, { kinds: blindFew }),
  cell("unseen: devices far apart", arms(60, 60), 48, { kinds: alike, deviceSd: 1 }),
  cell("unseen: devices far apart, gain of 3", arms(400, 400, effect("even", 0.03)), 2, { kinds: alike, deviceSd: 1 }),
  cell("unseen: hard labels come late", arms(200, 200), 4, {
    labels: { delay: { minutes: 240, sigma: 1, hardTimes: 6 } },
  }),
  cell("unseen: hard labels come late, late loss", arms(200, 200, effect("hard", -0.05, 2)), 4, {
    labels: { delay: { minutes: 240, sigma: 1, hardTimes: 6 } },
    daysBefore: 2,
  }),
  cell("unseen: boastful challenger", arms(190, 10, { confidence: boastful }), 20, { sampling: fiftyfold }),
  cell(
    "unseen: boastful challenger, easy frames lost",
    arms(300, 300, { confidence: boastful, ...effect("easy", -0.02) }),
    2,
  ),
  cell("unseen: accuracy near the ceiling", arms(400, 400), 1, { skill: 3.2, sampling: fiftyfold }),
  cell("unseen: accuracy near the ceiling, loss of 1", arms(800, 800, effect("even", -0.01)), 2, { skill: 3.2 }),
  cell("unseen: accuracy near a half", arms(100, 25), 3, { skill: 0, frameSd: 0.7 }),
  cell("unseen: retrained for good and ill", arms(1000, 50, retrained(0.25)), 0.5, { daysBefore: 2 }),
  cell("unseen: thirty days, slow labels", arms(100, 100, effect("even", -0.02)), 0.5, {
    days: 30,
    labels: { delay: { minutes: 1440, sigma: 1, hardTimes: 1 } },
  }),
  cell(
    "unseen: four arms, two classes",
    [...arms(400, 40), { devices: 40, ...effect("even", 0.02) }, { devices: 40, ...ofClass(0, -0.03) }],
    6,
    { classes: pairs },
  ),
  cell("unseen: policies, busy devices are hard", arms(100, 100, { threshold: 0.85 }, { threshold: 0.75 }), 6, {
    kinds: busyHard,
    framesADay: 20_000,
  }),
  cell("unseen: policies, edge only against cloud", arms(200, 20, { threshold: 0.8, confidence: sharp }), 10, {
    cloud: { gain: 0.5, late: 0.2, edgeLate: 0.01 },
  }),
];
