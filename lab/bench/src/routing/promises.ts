/** The other claims of METHODS C, on the test frames: the guarantee, the budget, and the unbiasedness of the sample. */
import type { RoutingPolicy } from "@tributary/contracts";
import { seededRandom } from "@tributary/kernel";
import {
  admissionBudgetDefaults,
  admissionBudgetInit,
  aipw,
  bucketInit,
  bucketSettingsOf,
  type DeviceDecision,
  decideInRouter,
  decideOnDevice,
  learnThenTest,
  outcomeOf,
  priorityOf,
  samplePropensity,
  scoreOf,
  type ThresholdCandidate,
  thresholdGrid,
} from "@tributary/routing";
import type { TestFrame } from "./judged.ts";

const FRAME_MS = 100;
const HOUR_FRAMES = 36_000;

/** One device shows the frames once, in order, at ten a second. */
export function replay(frames: readonly TestFrame[], policy: RoutingPolicy, seed: number) {
  const counts = { NONE: 0, AMBIGUOUS: 0, PRIORITY: 0, SAMPLE: 0, dropped: 0 };
  let right = 0;
  decisionsOf(frames, policy, frames.length, seed, (frame, { reason, escalation }) => {
    if (escalation === "DROPPED") counts.dropped++;
    else if (reason in counts) counts[reason as keyof typeof counts]++;
    if (escalation === "QUEUED" ? frame.cloudRight : frame.edgeRight) right++;
  });
  return { ...counts, accuracy: right / frames.length };
}

/** Losses of the frozen threshold on the test frames, beside its published bound. */
export function guaranteeOf(frames: readonly TestFrame[], policy: RoutingPolicy) {
  const { losses, share } = outcomeOf(candidatesOf(frames, policy), policy.scoreMin);
  return { losses, n: frames.length, lossRate: losses / frames.length, share, epsilon: policy.guarantee.epsilon };
}

/** How often a threshold learned on `n` frames breaks its promise on the population they were drawn from. */
export function learnThenTestViolations(
  frames: readonly TestFrame[],
  policy: RoutingPolicy,
  options: { readonly runs: number; readonly n: number; readonly epsilon: number; readonly delta: number },
): number {
  const population = candidatesOf(frames, policy);
  const grid = thresholdGrid(population.map(({ score }) => score));
  let violations = 0;
  for (let seed = 1; seed <= options.runs; seed++) {
    const random = seededRandom(seed);
    const drawn = Array.from(
      { length: options.n },
      () => population[Math.floor(random() * population.length)] as ThresholdCandidate,
    );
    const scoreMin = learnThenTest(drawn, grid, options.epsilon, options.delta);
    if (scoreMin !== null && outcomeOf(population, scoreMin).losses / population.length > options.epsilon) violations++;
  }
  return violations;
}

/** Relative overshoot of the budget in the first hour of a device whose every frame wants the cloud. */
export function deviceOvershoot(frames: readonly TestFrame[], policy: RoutingPolicy, seed: number): number {
  let charged = 0;
  const greedy = { ...policy, scoreMin: -1 };
  decisionsOf(frames, greedy, HOUR_FRAMES, seed, (_, { escalation, sampleDrawn }) => {
    if (escalation === "QUEUED" && !sampleDrawn) charged++;
  });
  return charged / HOUR_FRAMES / policy.escalationShareMax - 1;
}

/** The same for the router's fleet budget: every frame arrives, as if the devices had none of their own. */
export function fleetOvershoot(frames: readonly TestFrame[], policy: RoutingPolicy): number {
  const settings = admissionBudgetDefaults;
  let budget = admissionBudgetInit(settings);
  let sent = 0;
  for (let i = 0; i < HOUR_FRAMES; i++) {
    const { calibrated } = frames[i % frames.length] as TestFrame;
    const decision = decideInRouter({
      reason: "AMBIGUOUS",
      score: Math.max(0.01, scoreOf(policy, calibrated).score),
      sampleDrawn: false,
      remainingMs: 1_000,
      targetHealthy: true,
      reach: { probability: 1, probabilityUpper: 1, n: 0 },
      budget,
      settings,
      nowMs: i * FRAME_MS,
    });
    budget = decision.budget;
    if (decision.send !== null) sent++;
  }
  return sent / HOUR_FRAMES / settings.share - 1;
}

/** Coverage of the sample's 95 % intervals for the edge's accuracy, and the bias of escalated frames alone. */
export function sampleHonesty(frames: readonly TestFrame[], policy: RoutingPolicy, runs: number) {
  const truth = frames.filter(({ edgeRight }) => edgeRight).length / frames.length;
  const weighed = frames.map((frame) => {
    const q = scoreOf(policy, frame.calibrated).edgeRight;
    return { q, pi: samplePropensity(policy, q), right: frame.edgeRight };
  });
  let covered = 0;
  let drawnTotal = 0;
  let errorTotal = 0;
  let halfWidthTotal = 0;
  for (let seed = 1; seed <= runs; seed++) {
    const random = seededRandom(seed);
    const estimate = aipw(weighed.map((frame) => ({ ...frame, drawn: random() < frame.pi })));
    if (estimate === null) continue;
    if (truth >= estimate.lower && truth <= estimate.upper) covered++;
    drawnTotal += estimate.drawn;
    errorTotal += estimate.estimate - truth;
    halfWidthTotal += (estimate.upper - estimate.lower) / 2;
  }
  const escalated = frames.filter(({ calibrated }) => scoreOf(policy, calibrated).score > policy.scoreMin);
  return {
    coverage: covered / runs,
    truth,
    bias: errorTotal / runs,
    drawnMean: drawnTotal / runs,
    halfWidthMean: halfWidthTotal / runs,
    escalatedAlone: escalated.filter(({ edgeRight }) => edgeRight).length / Math.max(1, escalated.length),
  };
}

const candidatesOf = (frames: readonly TestFrame[], policy: RoutingPolicy): readonly ThresholdCandidate[] =>
  frames.map(({ calibrated, edgeRight, cloudRight }) => ({
    score: scoreOf(policy, calibrated).score,
    priority: priorityOf(policy, calibrated) !== null,
    lossIfKept: cloudRight && !edgeRight,
  }));

function decisionsOf(
  frames: readonly TestFrame[],
  policy: RoutingPolicy,
  count: number,
  seed: number,
  visit: (frame: TestFrame, decision: DeviceDecision) => void,
): void {
  const random = seededRandom(seed);
  let bucket = bucketInit(bucketSettingsOf(policy));
  for (let i = 0; i < count; i++) {
    const frame = frames[i % frames.length] as TestFrame;
    const decision = decideOnDevice({
      policy,
      calibrated: frame.calibrated,
      externalTrigger: false,
      draw: (propensity) => random() < propensity,
      bucket,
      nowMs: i * FRAME_MS,
    });
    bucket = decision.bucket;
    visit(frame, decision);
  }
}
