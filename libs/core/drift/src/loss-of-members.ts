/** The labelled draws of some devices since they changed, and whether they prove a loss. */
import type { LabelledDraw } from "./findings.ts";
import type { DrawnDevice, ModelLook } from "./fleet-view.ts";
import type { Member } from "./group.ts";
import { type LossVerdict, lossOf } from "./loss.ts";
import type { VerdictSettings } from "./settings.ts";

/** The newest count. */
const DRAWS_MAX = 10_000;

export function lossOfMembers(members: readonly Member[], look: ModelLook, settings: VerdictSettings): LossVerdict {
  const drawsOf = new Map(look.drawn.map(({ deviceId, draws }) => [deviceId, draws]));
  const draws = members.flatMap(({ deviceId, cameras, golden, since }) => {
    const names = new Set(cameras.map(({ cameraId }) => cameraId));
    // Earlier agents count all cameras as one without a name.
    const isAll = golden !== null || names.size === 0 || names.has("");
    return (drawsOf.get(deviceId) ?? []).filter(({ cameraId, at }) => at >= since && (isAll || names.has(cameraId)));
  });
  return lossOfDraws(draws, look, settings, settings.alpha);
}

export function lossOfDraws(
  draws: readonly LabelledDraw[],
  look: ModelLook,
  { tolerance, propensityMin }: VerdictSettings,
  alpha: number,
): LossVerdict {
  const newest = draws.length <= DRAWS_MAX ? draws : [...draws].sort((a, b) => b.at - a.at).slice(0, DRAWS_MAX);
  const weighed = newest.map(({ propensity, loss }) => ({ weight: Math.min(1, propensityMin / propensity), loss }));
  const errorRate = look.reference?.errorRate ?? null;
  if (errorRate !== null) return lossOf(weighed, errorRate, tolerance, alpha);
  const { draws: count, errorRate: rate } = lossOf(weighed, 1, 0, alpha);
  return { state: count === 0 ? "NO_DATA" : "UNPROVEN", draws: count, errorRate: rate };
}

/** Whether the weighted error rate exceeds what is allowed at all: what does not needs no test. */
export function mayBeLost(devices: readonly DrawnDevice[], look: ModelLook, { tolerance }: VerdictSettings): boolean {
  const errorRate = look.reference?.errorRate ?? null;
  if (errorRate === null) return false;
  let [lost, all] = [0, 0];
  for (const { draws } of devices) {
    for (const { propensity, loss } of draws) {
      all += 1 / propensity;
      if (loss) lost += 1 / propensity;
    }
  }
  return lost > all * (errorRate + tolerance);
}
