/** What `tributary experiment plan` names from logged frames, against the truth: each draw is traffic from the test photos, with replacement,
 * logged by the frozen policy with its own propensities; the plan sees the outcomes of drawn frames alone. */
import type { RoutingPolicy } from "@tributary/contracts";
import { seededRandom } from "@tributary/kernel";
import type { Weights } from "@tributary/rollouts/experiment";
import {
  comparePolicies,
  type LoggedFrame,
  type PolicyArm,
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
const SHARES = { hybrid: 0.2, "edge-heavy": 0.05, "cloud-heavy": 0.5 } as const;
const LATE = 0.05;
/** Sent frames of which it is known whether they were late. */
const SENT = 2_000;
export const FRAMES = 20_000;

export type Planned = {
  readonly best: string;
  readonly runs: number;
  /** The best is named, or the true leads are within the intervals shown. */
  readonly within: number;
  readonly covered: number;
  readonly named: number;
  /** A winner was called shown that is not the best. */
  readonly wrong: number;
};

type Scored = { readonly photo: TestFrame; readonly score: number; readonly pi: number };

export function plannedRuns(
  photos: readonly TestFrame[],
  policy: RoutingPolicy,
  runs: number,
  seed: number,
): ReadonlyMap<string, Planned> {
  const scored = photos.map((photo): Scored => {
    const { score, edgeRight } = scoreOf(policy, photo.calibrated);
    const isPriority = priorityOf(policy, photo.calibrated) !== null;
    return { photo, score: isPriority ? Number.POSITIVE_INFINITY : score, pi: samplePropensity(policy, edgeRight) };
  });
  const order = [...scored].sort((a, b) => b.score - a.score);
  const found = new Map<string, Planned>();
  const truths = Object.entries(economies).map(([name, weights]) => {
    const worth = Object.values(SHARES).map((share) => truthOf(order, share, weights));
    const best = Object.keys(SHARES)[worth.indexOf(Math.max(...worth))] as string;
    found.set(name, { best, runs, within: 0, covered: 0, named: 0, wrong: 0 });
    return { name, weights, leads: worth.map((one) => one - (worth[0] as number)), best };
  });
  for (let run = 0; run < runs; run++) {
    const random = seededRandom(seed + run);
    const logged = Array.from({ length: FRAMES }, () => loggedFrame(scored, random));
    const seen = { sent: SENT, late: binomial(SENT, LATE, random) };
    const arms = Object.entries(SHARES).map(([name, escalationShareMax]): PolicyArm => {
      return { name, policy: { ...policy, scoreMin: -1, escalationShareMax }, seen };
    });
    for (const { name, weights, leads, best } of truths) {
      const estimates = comparePolicies(logged, arms, weights) ?? [];
      const isCovered = estimates.every(({ lead }, i) => lead === null || isWithin(leads[i] as number, lead));
      const winner = winnerOf(estimates, 1);
      const isNamed = winner.name === best;
      const before = found.get(name) as Planned;
      found.set(name, {
        ...before,
        within: before.within + (isNamed || isCovered ? 1 : 0),
        covered: before.covered + (isCovered ? 1 : 0),
        named: before.named + (isNamed ? 1 : 0),
        wrong: before.wrong + (winner.isShown && !isNamed ? 1 : 0),
      });
    }
  }
  return found;
}

const isWithin = (truth: number, { lower, upper }: PolicyLead): boolean =>
  (lower ?? Number.POSITIVE_INFINITY) <= truth && truth <= (upper ?? Number.NEGATIVE_INFINITY);

function loggedFrame(scored: readonly Scored[], random: () => number): LoggedFrame {
  const { photo, pi } = scored[Math.floor(random() * scored.length)] as Scored;
  const drawn = random() < pi;
  const known = (right: boolean) => (drawn ? right : null);
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

function truthOf(order: readonly Scored[], share: number, { correct, escalated, late }: Weights): number {
  const sent = Math.floor(share * order.length);
  const right = order.reduce((sum, { photo }, i) => {
    const edge = photo.edgeRight ? 1 : 0;
    return sum + (i < sent ? (1 - LATE) * (photo.cloudRight ? 1 : 0) + LATE * edge : edge);
  }, 0);
  return (correct * right) / order.length - share * (escalated + late * LATE);
}
