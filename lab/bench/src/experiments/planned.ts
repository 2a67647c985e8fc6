/** What `tributary experiment plan` names from logged frames, against the truth: each draw is traffic from the test photos, with replacement,
 * logged by the frozen policy with its own propensities; the plan sees the outcomes of drawn frames alone. Either all frames are independent, or
 * they are of devices: each sees its own few scenes again and again, a busy one has six times the frames, and of half of the devices a fifth of the
 * draws has a label. */
import type { RoutingPolicy } from "@tributary/contracts";
import { type Random, seededRandom } from "@tributary/kernel";
import type { Weights } from "@tributary/rollouts/experiment";
import {
  comparePolicies,
  type LoggedFrame,
  type PolicyArm,
  type PolicyEstimate,
  type PolicyLead,
  priorityOf,
  samplePropensity,
  scoreOf,
  winnerOf,
} from "@tributary/routing";
import { binomial } from "@tributary/testing/fleet";
import type { TestFrame } from "../routing/judged.ts";

/** By what a call costs where a right answer is worth 1. */
export const economies: Readonly<Record<string, Weights>> = {
  "cheap calls": { correct: 1, escalated: 0.01, late: 0.1 },
  "usual calls": { correct: 1, escalated: 0.08, late: 0.2 },
  "dear calls": { correct: 1, escalated: 0.4, late: 0.5 },
};
export const SHARES = { hybrid: 0.2, "edge-heavy": 0.05, "cloud-heavy": 0.5 } as const;
export const LATE = 0.05;
/** Sent frames of which it is known whether they were late. */
const SENT = 2_000;
export const FRAMES = 20_000;

export type Planned = {
  readonly best: string;
  readonly runs: number;
  /** The best is named, or the true leads are within the intervals shown. */
  readonly within: number;
  readonly covered: number;
  /** The same, were frames of one device independent. */
  readonly coveredAsFrames: number;
  readonly named: number;
  /** A winner was called shown that is not the best. */
  readonly wrong: number;
};

export type Scored = { readonly photo: TestFrame; readonly score: number; readonly pi: number };

/** Plans from devices have so many draws that the devices, and not the draws, are what is uncertain. */
const WIDE = { sampleBudget: 0.3, samplePropensityMin: 0.02 } as const;
const [DEVICES, SCENES, BUSY] = [40, 25, 6] as const;
export const DEVICE_FRAMES = 8_000;
const LABELLED = [1, 0.2] as const;

export type PlannedWorld = { readonly runs: number; readonly seed: number; readonly hasDevices: boolean };

export function scoredPhotos(photos: readonly TestFrame[], policy: RoutingPolicy): readonly Scored[] {
  return photos.map((photo): Scored => {
    const { score, edgeRight } = scoreOf(policy, photo.calibrated);
    const isPriority = priorityOf(policy, photo.calibrated) !== null;
    return { photo, score: isPriority ? Number.POSITIVE_INFINITY : score, pi: samplePropensity(policy, edgeRight) };
  });
}

export function plannedRuns(
  photos: readonly TestFrame[],
  standing: RoutingPolicy,
  { runs, seed, hasDevices }: PlannedWorld,
): ReadonlyMap<string, Planned> {
  const policy = hasDevices ? { ...standing, ...WIDE } : standing;
  const scored = scoredPhotos(photos, policy);
  const order = [...scored].sort((a, b) => b.score - a.score);
  const found = new Map<string, Planned>();
  const truths = Object.entries(economies).map(([name, weights]) => {
    const worth = Object.values(SHARES).map((share) => truthOf(order, share, weights));
    const best = Object.keys(SHARES)[worth.indexOf(Math.max(...worth))] as string;
    found.set(name, { best, runs, within: 0, covered: 0, coveredAsFrames: 0, named: 0, wrong: 0 });
    return { name, weights, leads: worth.map((one) => one - (worth[0] as number)), best };
  });
  for (let run = 0; run < runs; run++) {
    const random = seededRandom(seed + run);
    const logged = hasDevices ? ofDevices(scored, random) : independent(scored, random);
    const seen = { sent: SENT, late: binomial(SENT, LATE, random) };
    const arms = Object.entries(SHARES).map(([name, escalationShareMax]): PolicyArm => {
      return { name, policy: { ...policy, scoreMin: -1, escalationShareMax }, seen };
    });
    for (const { name, weights, leads, best } of truths) {
      const estimates = comparePolicies(logged, arms, weights) ?? [];
      const asFrames = hasDevices ? (comparePolicies(logged.map(withoutDevice), arms, weights) ?? []) : estimates;
      const isCovered = holdsAll(estimates, leads);
      const winner = winnerOf(estimates, 1);
      const isNamed = winner.name === best;
      const before = found.get(name) as Planned;
      found.set(name, {
        ...before,
        within: before.within + (isNamed || isCovered ? 1 : 0),
        covered: before.covered + (isCovered ? 1 : 0),
        coveredAsFrames: before.coveredAsFrames + (holdsAll(asFrames, leads) ? 1 : 0),
        named: before.named + (isNamed ? 1 : 0),
        wrong: before.wrong + (winner.isShown && !isNamed ? 1 : 0),
      });
    }
  }
  return found;
}

const isWithin = (truth: number, { lower, upper }: PolicyLead): boolean =>
  (lower ?? Number.POSITIVE_INFINITY) <= truth && truth <= (upper ?? Number.NEGATIVE_INFINITY);

const holdsAll = (estimates: readonly PolicyEstimate[], leads: readonly number[]): boolean =>
  estimates.every(({ lead }, i) => lead === null || isWithin(leads[i] as number, lead));

const withoutDevice = ({ deviceId: _, ...frame }: LoggedFrame): LoggedFrame => frame;

const oneOf = (scored: readonly Scored[], random: Random): Scored =>
  scored[Math.floor(random() * scored.length)] as Scored;

export const independent = (scored: readonly Scored[], random: Random): readonly LoggedFrame[] =>
  Array.from({ length: FRAMES }, () => loggedFrame(oneOf(scored, random), 1, random));

function ofDevices(scored: readonly Scored[], random: Random): readonly LoggedFrame[] {
  const frames = (2 * DEVICE_FRAMES) / DEVICES / (1 + BUSY);
  return Array.from({ length: DEVICES }, (_, i) => {
    const scenes = Array.from({ length: SCENES }, () => oneOf(scored, random));
    const labelled = LABELLED[Math.floor(i / 2) % 2] as number;
    return Array.from({ length: Math.round(i % 2 === 0 ? frames : BUSY * frames) }, (): LoggedFrame => {
      return { ...loggedFrame(oneOf(scenes, random), labelled, random), deviceId: `device-${i}` };
    });
  }).flat();
}

function loggedFrame({ photo, pi }: Scored, labelled: number, random: Random): LoggedFrame {
  const drawn = random() < pi;
  const isKnown = drawn && random() < labelled;
  const known = (right: boolean) => (isKnown ? right : null);
  const { calibrated, edgeRight, cloudRight } = photo;
  return {
    calibrated,
    propensity: pi,
    drawn,
    triggered: false,
    edgeRight: known(edgeRight),
    cloudRight: known(cloudRight),
  };
}

export function truthOf(order: readonly Scored[], share: number, { correct, escalated, late }: Weights): number {
  const sent = Math.floor(share * order.length);
  const right = order.reduce((sum, { photo }, i) => {
    const edge = photo.edgeRight ? 1 : 0;
    return sum + (i < sent ? (1 - LATE) * (photo.cloudRight ? 1 : 0) + LATE * edge : edge);
  }, 0);
  return (correct * right) / order.length - share * (escalated + late * LATE);
}
