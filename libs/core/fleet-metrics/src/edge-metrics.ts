/** Folds what devices report in edge.metrics.v1.
 *
 * M1. `deadline-met`: frames answered within the model's latency budget, from `sla_missed`.
 * M2. A window's frames count at its middle, by the receiver's clock: the device's own clock may be wrong.
 * M3. `model_losses` of a window are crashes of the model. */
import type { EdgeMetrics } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import type { FleetMetrics } from "./fleet-metrics.ts";

/** False: a replay, or refused. */
export function foldEdgeMetrics(fleet: FleetMetrics, record: EdgeMetrics, receivedAt: Instant): boolean {
  const { deviceId, bootId, seq, ageMs, windowMs, device, models } = record;
  if (!fleet.isNew(deviceId, "metrics", bootId, seq)) return false;
  // M2. NaN and ages below 0 make a time that is refused.
  const at = ageMs >= 0 && windowMs >= 0 ? receivedAt - ageMs - windowMs / 2 : Number.NaN;
  let isFolded = true;
  for (const { modelDigest, metrics } of models) {
    const missed = metrics.sla_missed;
    if (missed === undefined) continue;
    const frames = Number(missed.n);
    isFolded = fleet.observe(deviceId, modelDigest, "deadline-met", frames - missed.sum, frames, at) && isFolded;
  }
  const losses = device.model_losses;
  if (losses !== undefined && losses.sum > 0) isFolded = fleet.crashed(deviceId, at) && isFolded;
  return isFolded;
}
