/** Folds what devices report in edge.metrics.v1. `model_losses` of a window are crashes of the model. Nothing else in it is
 * judged by: `sla_missed` is counted against the model's own budget, which its maker declares, so whether a frame met its
 * deadline is computed from its latency instead (edge.predictions.v1), also for agents of earlier versions. A window counts
 * at its middle, by the receiver's clock: the device's own clock may be wrong. Moments that no window can have (NaN, more
 * than it observed, observed more than a window holds) are refused (fleet-metrics.ts F2). */
import type { EdgeMetrics } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import type { FleetMetrics } from "./fleet-metrics.ts";
import { framesPlausible } from "./plausible.ts";

/** False: a replay, or refused. */
export function foldEdgeMetrics(fleet: FleetMetrics, record: EdgeMetrics, receivedAt: Instant): boolean {
  const { deviceId, bootId, seq, ageMs, windowMs, device } = record;
  if (!fleet.isNew(deviceId, "metrics", bootId, seq)) return false;
  const losses = device.model_losses;
  if (losses === undefined) return true;
  const [n, { sum }] = [Number(losses.n), losses];
  const isSane = ageMs >= 0 && windowMs >= 0 && n >= 0 && n <= framesPlausible(windowMs) && sum >= 0 && sum < 1e6;
  if (!isSane) {
    fleet.refuseMalformed();
    return false;
  }
  return sum === 0 || fleet.crashed(deviceId, receivedAt - ageMs - windowMs / 2);
}
