/** At which labelled frame each rule claims a loss. */
import { type ClassedDraw, hasPast, hasRisen, LossTest } from "@tributary/drift";
import { lossRateExceeds, type RateSample } from "@tributary/statistics";
import type { Drawing } from "../in-workers.ts";
import { fleetOf, type LossCase, labelled } from "./loss-draws.ts";

/** `past`: a fleet that was always so many points worse, and what it was when its inputs changed. */
export type LossTask =
  | { readonly kind: "watched"; readonly of: LossCase }
  | { readonly kind: "past"; readonly of: LossCase; readonly pointsBefore: number };

/** Labelled frames until the claim; null: none. */
export type LossClaims = {
  readonly former: number | null;
  readonly byClass: number | null;
  readonly ownPast: number | null;
};

export const ALPHA = 0.01;
export const TOLERANCE = 0.02;
/** Of the devices together. */
const PAST = 240;

export const judgeLosses = ({ of, seeds }: Drawing<LossTask>): readonly LossClaims[] =>
  seeds.map((seed) => (of.kind === "watched" ? watched(of.of, seed) : changed(of.of, of.pointsBefore, seed)));

/** Former: all draws against the error rate of the whole validation set, as if it were known. */
function formerLimit(validation: readonly RateSample[]): number {
  const items = validation.reduce((sum, of) => sum + of.items, 0);
  return validation.reduce((sum, of) => sum + of.events, 0) / items + TOLERANCE;
}

function isFormerlyLost(draws: readonly ClassedDraw[], limit: number): boolean {
  const excess = draws.reduce((sum, { weight, loss }) => sum + weight * ((loss ? 1 : 0) - limit), 0);
  return excess > 0 && lossRateExceeds(draws, limit, ALPHA);
}

function watched(it: LossCase, seed: number): LossClaims {
  const fleet = fleetOf(it, seed);
  const lossTest = new LossTest(fleet.validation, TOLERANCE, ALPHA);
  const limit = formerLimit(fleet.validation);
  let [former, byClass]: [number | null, number | null] = [null, null];
  let looks = 0;
  for (const draws of labelled(it, fleet)) {
    if (++looks % it.lookEvery !== 0) continue;
    if (former === null && isFormerlyLost(draws, limit)) former = looks;
    if (byClass === null && lossTest.judge(draws).state === "LOST") byClass = looks;
    if (former !== null && byClass !== null) break;
  }
  return { former, byClass, ownPast: null };
}

function changed(it: LossCase, pointsBefore: number, seed: number): LossClaims {
  const before = fleetOf({ ...it, points: pointsBefore }, seed);
  const now = fleetOf(it, seed + 1_000_000);
  const lossTest = new LossTest(now.validation, TOLERANCE, ALPHA);
  const limit = formerLimit(now.validation);
  const past = Array.from({ length: PAST }, before.frame);
  let claims: LossClaims = { former: null, byClass: null, ownPast: null };
  let looks = 0;
  for (const draws of labelled(it, now)) {
    if (++looks % it.lookEvery !== 0) continue;
    const halves = [...new Set(draws.map(({ device }) => device))].map((id) => ({
      before: past.filter(({ device }) => device === id),
      now: draws.filter(({ device }) => device === id),
    }));
    const isLost = lossTest.judge(draws).state === "LOST";
    const isDue = isLost && (!hasPast(halves) || hasRisen(halves, TOLERANCE, ALPHA));
    claims = {
      former: claims.former ?? (isFormerlyLost(draws, limit) ? looks : null),
      byClass: claims.byClass ?? (isLost ? looks : null),
      ownPast: claims.ownPast ?? (isDue ? looks : null),
    };
  }
  return claims;
}
