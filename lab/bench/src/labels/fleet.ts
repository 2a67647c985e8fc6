import type { Random } from "@tributary/kernel";
import type { ArmPlan, DeviceKind, Scenario } from "./scenario.ts";

export { type Scenario, scenarios, unseen } from "./scenario.ts";

/**
 * Draws the labelled frames of a fleet whose true accuracy is known, to try a sequential judge of accuracies on.
 *
 * A frame of class c at a device has an ease, on a probit scale: the model's skill + the shift of the class + the device's
 * offset + the shock of the hour + the effect of the burst + noise. A model is right with chance `floor + (ceiling - floor) *
 * Phi(ease)`, changed by the effects of its arm. Its confidence sees the ease through noise. Only labelled frames are drawn:
 * frames are a Poisson process, so that the drawn and labelled ones are a thinned one, and a label's chance never costs a frame.
 * The truth is the expectation over the population from which devices are drawn, given the shocks of this draw, which all arms
 * share. An arm's own devices differ from that population by chance: a judge has to allow for it.
 */

export type LabelledFrame = {
  /** The device's index within the arm. */
  device: number;
  /** When the frame was seen, in ms since the start of the comparison; negative before it. */
  at: number;
  /** When the label arrives (ms). */
  labelledAt: number;
  /** The propensity with which the frame was drawn for labels. */
  pi: number;
  /** The model's own estimate of being right. */
  q: number;
  isRight: boolean;
  trueClass: number;
};
export type Lanes = { frames: Float64Array; escalated: Float64Array; late: Float64Array };
export type ArmDraw = {
  devices: number;
  /** The labelled frames, sorted by `labelledAt`. */
  frames: LabelledFrame[];
  /** The counts of a device's frames over the whole comparison. */
  totals: Lanes;
  /** The same counts up to the last full hour before a moment (ms). */
  lanesAt: (ms: number) => Lanes;
};
export type FleetDraw = {
  arms: ArmDraw[];
  /** An entry an arm, over all frames of the comparison; all but `frameAccuracy` weigh devices alike. */
  truth: { accuracy: number[]; frameAccuracy: number[]; escalated: number[]; late: number[] };
};

/** A test looks globals up slowly, in a context of its own. */
const { abs, ceil, cos, exp, hypot, log, max, min, PI, round, sin, sqrt } = Math;
const whole = Math.floor;
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const [floor, ceiling] = [0.05, 0.97];
const [hardZ, hardShare, easyShare] = [-0.8416, 0.2, 0.5];
const pilotFrames = 20_000;
const lateSpread = 0.8;

/** The standard normal distribution function, to 1e-7 (Abramowitz and Stegun, 7.1.26). */
function phi(x: number): number {
  const t = 1 / (1 + 0.2316419 * abs(x));
  const poly = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const tail = 0.3989422804 * exp(-0.5 * x * x) * poly;
  return x > 0 ? 1 - tail : tail;
}

const clamp = (x: number, low: number, high: number) => max(low, min(high, x));
const rightAt = (ease: number) => floor + (ceiling - floor) * phi(ease);

/** Normal, Poisson, binomial and weighted draws from one source; large counts are normal to within rounding. */
function drawing(random: Random) {
  let spare: number | undefined;
  const normal = () => {
    if (spare !== undefined) {
      const z = spare;
      spare = undefined;
      return z;
    }
    const r = sqrt(-2 * log(1 - random()));
    const angle = 2 * PI * random();
    spare = r * sin(angle);
    return r * cos(angle);
  };
  const poisson = (mean: number) => {
    if (mean > 50) return max(0, round(mean + sqrt(mean) * normal()));
    let count = 0;
    for (let left = random(), limit = exp(-mean); left > limit; left *= random()) count++;
    return count;
  };
  const binomial = (n: number, p: number): number => {
    if (p > 0.5) return n - binomial(n, 1 - p);
    const mean = n * p;
    return mean > 20 ? clamp(round(mean + sqrt(mean * (1 - p)) * normal()), 0, n) : min(n, poisson(mean));
  };
  const pick = (weighted: { share: number }[]) => {
    let left = random();
    for (let i = 0; i < weighted.length - 1; i++) {
      left -= weighted[i]?.share ?? 0;
      if (left < 0) return i;
    }
    return weighted.length - 1;
  };
  return { random, normal, poisson, binomial, pick };
}
type Draws = ReturnType<typeof drawing>;
type Device = { kind: DeviceKind; offset: number; favourite: number; delta: number; lateTimes: number };

const mean = <T extends { share: number }>(parts: T[], value: (part: T) => number) =>
  parts.reduce((sum, part) => sum + part.share * value(part), 0);

/** What all arms share: the shocks of each hour, and the moments of the ease of frames. */
function worldOf(scenario: Scenario, draws: Draws) {
  const { classes, kinds, burst, shock } = scenario;
  const hours = 24 * (scenario.days + scenario.daysBefore);
  const shockOfDay = Float64Array.from({ length: hours / 24 }, () => shock.daySd * draws.normal());
  const shocks = Float64Array.from(
    { length: hours },
    (_, hour) => (shockOfDay[whole(hour / 24)] as number) + shock.cycle * sin((PI * hour) / 12),
  );
  const easeMean = scenario.skill + mean(kinds, (kind) => kind.shift);
  const withinVariance = scenario.deviceSd ** 2 + scenario.frameSd ** 2 + burst.sd ** 2;
  const kindVariance = mean(kinds, (kind) => (scenario.skill + kind.shift - easeMean) ** 2);
  const variance = withinVariance + kindVariance + shock.cycle ** 2 / 2 + shock.daySd ** 2;
  const classMean = mean(classes, ({ shift }) => shift);
  const classVariance = mean(classes, ({ shift }) => (shift - classMean) ** 2);
  const hardBelow = easeMean + classMean + hardZ * sqrt(variance + classVariance);
  const isHard = (ease: number) => clamp(0.5 + (hardBelow - ease) / 0.5, 0, 1);
  const isEasy = (ease: number) => clamp(0.5 + (ease - easeMean - classMean) / 0.5, 0, 1);
  return {
    shocks,
    firstHour: -24 * scenario.daysBefore,
    easeMean,
    withinSd: sqrt(withinVariance),
    variance,
    isHard,
    isEasy,
  };
}
type World = ReturnType<typeof worldOf>;

/** An arm's model with its sampling: the confidence of an ease seen, the chance of being right, the propensity. */
function modelOf(scenario: Scenario, plan: ArmPlan, world: World, draws: Draws) {
  const { noiseSd, scale } = plan.confidence ?? { noiseSd: 0.7, scale: 1 };
  const { classes, sampling } = scenario;
  const trust = world.variance / (world.variance + noiseSd ** 2);
  const widening = sqrt(1 + world.variance * (1 - trust));
  /** The expected chance of being right, given an ease seen through noise; then the logit is stretched. */
  const confidence = (seen: number, trueClass: number) => {
    const centre = world.easeMean + (classes[trueClass]?.shift ?? 0);
    const right = rightAt((centre + trust * (seen - centre)) / widening);
    return scale === 1 ? right : 1 / (1 + ((1 - right) / right) ** scale);
  };
  const effects = (plan.effects ?? []).map((effect) => ({ ...effect, fromMs: (effect.fromDay ?? 0) * dayMs }));
  const edgeRight = (ease: number, trueClass: number, at: number, delta: number) => {
    const plain = rightAt(ease);
    let right = plain;
    for (const effect of effects) {
      if (at < effect.fromMs) continue;
      if (effect.kind === "device") right += 4 * delta * effect.spread * plain * (1 - plain);
      else if (effect.kind === "even") right += effect.points;
      else if (effect.kind === "hard") right += (effect.points / hardShare) * world.isHard(ease);
      else if (effect.kind === "easy") right += (effect.points / easyShare) * world.isEasy(ease);
      else if (effect.kind === "class" && trueClass === effect.class)
        right += effect.points / (classes[trueClass]?.share ?? 1);
    }
    return clamp(right, 0, 1);
  };
  /** The ease seen below which a frame of each class is escalated, by bisection of the confidence. */
  const escalatedBelow = classes.map((_, trueClass) => {
    if (plan.threshold === undefined) return Number.NEGATIVE_INFINITY;
    let [low, high] = [-20, 20];
    for (let i = 0; i < 50; i++) {
      const middle = (low + high) / 2;
      if (confidence(middle, trueClass) < plan.threshold) low = middle;
      else high = middle;
    }
    return low;
  });
  const labelChance = (ease: number) => 1 - (1 - (plan.hardLabelChance ?? 1)) * world.isHard(ease);
  const uncertainty = (q: number) => sqrt(q * (1 - q));
  /** A pilot of the population gives the mean uncertainty, then the share of candidates that become labels. */
  const pilot = Array.from({ length: pilotFrames }, () => {
    const kind = scenario.kinds[draws.pick(scenario.kinds)] as DeviceKind;
    const trueClass = draws.pick(classes);
    const shock = world.shocks[whole(draws.random() * world.shocks.length)] as number;
    const ease =
      scenario.skill + kind.shift + (classes[trueClass]?.shift ?? 0) + shock + world.withinSd * draws.normal();
    return { kind, ease, q: confidence(ease + noiseSd * draws.normal(), trueClass) };
  });
  const sumOver = (value: (frame: (typeof pilot)[number]) => number) =>
    pilot.reduce((sum, frame) => sum + value(frame), 0);
  const uncertaintyMean = sumOver(({ kind, q }) => kind.frames * uncertainty(q)) / sumOver(({ kind }) => kind.frames);
  const piOf = (u: number) =>
    sampling.isEqual ? sampling.budget : max(sampling.piMin, min(1, (sampling.budget * u) / uncertaintyMean));
  const propensity = (q: number) => piOf(uncertainty(q));
  const piMax = piOf(0.5);
  const accepted =
    sumOver(({ kind, ease, q }) => (kind.labels * labelChance(ease) * propensity(q)) / piMax) /
    sumOver(({ kind }) => kind.labels);
  return { noiseSd, confidence, edgeRight, escalatedBelow, labelChance, propensity, piMax, accepted };
}
type Model = ReturnType<typeof modelOf>;

/** Cloud answers are late more often in the hours in which frames are hard. */
const cloudLate = (scenario: Scenario, hour: number, lateTimes: number) =>
  scenario.cloud.late * lateTimes * (1 - 0.5 * sin((PI * hour) / 12));

/** The expectations of an arm over the population's devices and all frames, by quadrature over the ease within an hour. */
function truthOf(scenario: Scenario, world: World, model: Model) {
  const totals = { accuracy: 0, frameAccuracy: 0, escalated: 0, late: 0 };
  const frames = mean(scenario.kinds, (kind) => kind.frames);
  const step = 0.25;
  for (let hour = 0; hour < 24 * scenario.days; hour++) {
    const shock = world.shocks[hour - world.firstHour] as number;
    for (const kind of scenario.kinds)
      for (const [trueClass, { share, shift }] of scenario.classes.entries())
        for (let z = -5; z <= 5; z += step) {
          const ease = scenario.skill + kind.shift + shift + shock + world.withinSd * z;
          const weight = (kind.share * share * step * 0.3989422804 * exp(-0.5 * z * z)) / (24 * scenario.days);
          const escalated = phi(((model.escalatedBelow[trueClass] as number) - ease) / model.noiseSd);
          const right =
            (1 - escalated) * model.edgeRight(ease, trueClass, hour * hourMs, 0) +
            escalated * rightAt(ease + scenario.cloud.gain);
          totals.accuracy += weight * right;
          totals.frameAccuracy += (weight * right * kind.frames) / frames;
          totals.escalated += weight * escalated;
          totals.late +=
            weight * (escalated * cloudLate(scenario, hour, 1) + (1 - escalated) * scenario.cloud.edgeLate);
        }
  }
  return totals;
}

/** The effect and the class of each burst of one device at a time, drawn when first asked for. */
function burstsOf(scenario: Scenario, draws: Draws) {
  const windowMs = scenario.burst.minutes * 60_000;
  const count = ceil(((scenario.days + scenario.daysBefore) * dayMs) / windowMs);
  const isDrawn = new Uint8Array(count);
  const effects = new Float64Array(count);
  const classes = new Int32Array(count);
  let current: Device;
  const classOf = (device: Device) =>
    draws.random() < scenario.classFocus ? device.favourite : draws.pick(scenario.classes);
  return {
    windowMs,
    classOf,
    enter: (device: Device) => {
      current = device;
      isDrawn.fill(0);
    },
    at: (ms: number) => {
      const window = whole((ms + scenario.daysBefore * dayMs) / windowMs);
      if (isDrawn[window] === 0) {
        isDrawn[window] = 1;
        effects[window] = scenario.burst.sd * draws.normal();
        classes[window] = classOf(current);
      }
      return { effect: effects[window] as number, class: classes[window] as number };
    },
  };
}
type Bursts = ReturnType<typeof burstsOf>;
type Setting = { scenario: Scenario; world: World; draws: Draws; bursts: Bursts };

/** Appends the labelled frames of a device that were seen from `fromMs` to `toMs`. */
function drawLabels(
  { scenario, world, draws, bursts }: Setting,
  model: Model,
  device: Device,
  index: number,
  [fromMs, toMs]: [number, number],
  frames: LabelledFrame[],
) {
  const { labels, classes, kinds, burst } = scenario;
  const { delay } = labels;
  const aDay = (labels.aDay * device.kind.labels) / mean(kinds, (kind) => kind.labels) / model.accepted;
  if (aDay > scenario.framesADay * device.kind.frames * model.piMax)
    throw new Error(`${scenario.name}: a device has fewer drawn frames than labels; raise framesADay`);
  for (let visits = draws.poisson((aDay * (toMs - fromMs)) / dayMs / labels.cluster); visits > 0; visits--) {
    const visit = fromMs + draws.random() * (toMs - fromMs);
    const start = whole(visit / bursts.windowMs) * bursts.windowMs;
    for (let left = 1 + draws.poisson(labels.cluster - 1); left > 0; left--) {
      const at = whole(labels.cluster > 1 ? start + draws.random() * bursts.windowMs : visit);
      const shared = bursts.at(at);
      const trueClass = draws.random() < burst.sameClass ? shared.class : bursts.classOf(device);
      const shock = world.shocks[whole(at / hourMs) - world.firstHour] as number;
      const ease =
        scenario.skill +
        device.offset +
        (classes[trueClass]?.shift ?? 0) +
        shock +
        shared.effect +
        scenario.frameSd * draws.normal();
      const seen = ease + model.noiseSd * draws.normal();
      const q = model.confidence(seen, trueClass);
      const pi = model.propensity(q);
      if (draws.random() * model.piMax >= pi * model.labelChance(ease)) continue;
      const isEscalated = seen < (model.escalatedBelow[trueClass] as number);
      const right = isEscalated
        ? rightAt(ease + scenario.cloud.gain)
        : model.edgeRight(ease, trueClass, at, device.delta);
      const times = 1 + (delay.hardTimes - 1) * world.isHard(ease);
      const arrives = at + min(14 * dayMs, delay.minutes * 60_000 * times * exp(delay.sigma * draws.normal()));
      const batchMs = labels.batchHours * hourMs;
      const labelledAt = ceil(batchMs > 0 ? ceil(arrives / batchMs) * batchMs : arrives);
      frames.push({ device: index, at, labelledAt, pi, q, isRight: draws.random() < right, trueClass });
    }
  }
}

/** Writes a device's counts of each hour, cumulated, at `hour * devices + index`. */
function countLanes(
  { scenario, world, draws, bursts }: Setting,
  model: Model,
  plan: ArmPlan,
  device: Device,
  index: number,
  lanes: Lanes,
) {
  const { classes, burst, cloud, classFocus } = scenario;
  const perHour = (scenario.framesADay * device.kind.frames) / 24;
  const sd = hypot(scenario.frameSd, model.noiseSd);
  const shareOf = (trueClass: number, ease: number) =>
    phi(((model.escalatedBelow[trueClass] as number) - (classes[trueClass]?.shift ?? 0) - ease) / sd);
  for (let hour = 0; hour < 24 * scenario.days; hour++) {
    let [frames, escalated] = [0, 0];
    if (plan.threshold === undefined) frames = draws.poisson(perHour);
    else
      for (let ms = hour * hourMs; ms < (hour + 1) * hourMs; ms += bursts.windowMs) {
        const shared = bursts.at(ms);
        const ease = scenario.skill + device.offset + (world.shocks[hour - world.firstHour] as number) + shared.effect;
        let mixed = classFocus * shareOf(device.favourite, ease);
        for (let c = 0; c < classes.length; c++)
          mixed += (1 - classFocus) * (classes[c]?.share ?? 0) * shareOf(c, ease);
        const seen = draws.poisson((perHour * bursts.windowMs) / hourMs);
        frames += seen;
        escalated += draws.binomial(
          seen,
          burst.sameClass * shareOf(shared.class, ease) + (1 - burst.sameClass) * mixed,
        );
      }
    const late =
      draws.binomial(escalated, cloudLate(scenario, hour, device.lateTimes)) +
      draws.binomial(frames - escalated, cloud.edgeLate);
    const cell = hour * (lanes.frames.length / (24 * scenario.days + 1)) + index;
    const next = cell + lanes.frames.length / (24 * scenario.days + 1);
    lanes.frames[next] = (lanes.frames[cell] as number) + frames;
    lanes.escalated[next] = (lanes.escalated[cell] as number) + escalated;
    lanes.late[next] = (lanes.late[cell] as number) + late;
  }
}

function drawArm(setting: Setting, plan: ArmPlan, model: Model, modelBefore: Model, withLanes: boolean): ArmDraw {
  const { scenario, draws, bursts } = setting;
  const hours = 24 * scenario.days;
  const { devices } = plan;
  const column = () => new Float64Array((hours + 1) * devices);
  const lanes: Lanes = { frames: column(), escalated: column(), late: column() };
  const frames: LabelledFrame[] = [];
  for (let index = 0; index < devices; index++) {
    const kind = scenario.kinds[draws.pick(scenario.kinds)] as DeviceKind;
    const device: Device = {
      kind,
      offset: kind.shift + scenario.deviceSd * draws.normal(),
      favourite: draws.pick(scenario.classes),
      delta: 2 * draws.random() - 1,
      lateTimes: 1 + lateSpread * (2 * draws.random() - 1),
    };
    bursts.enter(device);
    if (withLanes) countLanes(setting, model, plan, device, index, lanes);
    drawLabels(setting, modelBefore, device, index, [-scenario.daysBefore * dayMs, 0], frames);
    drawLabels(setting, model, device, index, [0, scenario.days * dayMs], frames);
  }
  frames.sort((a, b) => a.labelledAt - b.labelledAt);
  const lanesAt = (ms: number) => {
    const hour = clamp(whole(ms / hourMs), 0, hours);
    const row = (counts: Float64Array) => counts.slice(hour * devices, (hour + 1) * devices);
    return { frames: row(lanes.frames), escalated: row(lanes.escalated), late: row(lanes.late) };
  };
  return { devices, frames, totals: lanesAt(hours * hourMs), lanesAt };
}

/** `withLanes`: false where nobody asks for counts of frames; then they are 0. */
export function drawFleet(scenario: Scenario, random: Random, withLanes = true): FleetDraw {
  const draws = drawing(random);
  const world = worldOf(scenario, draws);
  const setting = { scenario, world, draws, bursts: burstsOf(scenario, draws) };
  const models = scenario.arms.map((plan) => modelOf(scenario, plan, world, draws));
  const truths = models.map((model) => truthOf(scenario, world, model));
  const arms = scenario.arms.map((plan, arm) =>
    drawArm(setting, plan, models[arm] as Model, models[0] as Model, withLanes),
  );
  const column = (name: keyof FleetDraw["truth"]) => truths.map((truth) => truth[name]);
  return {
    arms,
    truth: {
      accuracy: column("accuracy"),
      frameAccuracy: column("frameAccuracy"),
      escalated: column("escalated"),
      late: column("late"),
    },
  };
}
