/**
 * The devices of a rollout: in which order it reaches them, in which arm each is, and what it reports. Arms are those of the
 * last analysis, as assigned; before the first one, those that the weight makes.
 */
import type { RolloutDevice, RolloutDevices, RolloutDevicesQuery } from "@tributary/api";
import { type DeviceReported, POLICY } from "@tributary/contracts";
import {
  applyEvent,
  controlOf,
  type Rollout,
  type RolloutEvent,
  reachedBy,
  reachedDevices,
  stepOf,
} from "@tributary/rollouts";
import { isoOf } from "../answers/answer.ts";

export type Heard = { readonly value: DeviceReported; readonly at: number };

export function devicesOf(
  events: readonly RolloutEvent[],
  heardOf: (deviceId: string) => Heard | undefined,
  { arm, runs, updatePhase, from, limit }: RolloutDevicesQuery,
): RolloutDevices {
  const { rollout, analysed } = foldOf(events);
  const canaries = new Set(reachedBy(rollout.cohorts, analysed));
  const { controlsPerCanary } = rollout.spec.spec.strategy.canary;
  const controls = new Set(analysed === 0 ? [] : controlOf(rollout.cohorts, analysed, controlsPerCanary));
  const reached = new Set(reachedDevices(rollout));
  const all = rollout.cohorts.order.map((deviceId, place): RolloutDevice => {
    const own = canaries.has(deviceId) ? "canary" : controls.has(deviceId) ? "control" : "rest";
    return { deviceId, place, arm: own, reached: reached.has(deviceId), ...reportedBy(heardOf(deviceId), rollout) };
  });
  const left = all.filter(
    (device) =>
      (arm === undefined || device.arm === arm) &&
      (runs === undefined || device.runs === runs) &&
      (updatePhase === undefined || device.update?.phase === updatePhase),
  );
  return { items: left.slice(from, from + limit), total: left.length, arms: summariesOf(all) };
}

/** The state now, and the weight of the last analysis that started. */
function foldOf(events: readonly RolloutEvent[]): { readonly rollout: Rollout; readonly analysed: number } {
  let rollout: Rollout | null = null;
  let analysed = 0;
  for (const [i, event] of events.entries()) {
    rollout = applyEvent(rollout, event, BigInt(i));
    if (rollout === null) continue;
    const step = stepOf(rollout);
    const { kind } = event.change;
    if (kind === "retried") analysed = 0;
    if (kind === "step-started" && step !== undefined && "analysis" in step) analysed = rollout.weight;
    else if (kind === "step-started" && analysed === 0) analysed = rollout.weight;
  }
  if (rollout === null) throw new Error("a history without its first event");
  return { rollout, analysed: analysed < 100 ? analysed : 0 };
}

function reportedBy(heard: Heard | undefined, rollout: Rollout) {
  const { slot } = rollout.spec.spec;
  const isPolicy = slot === POLICY;
  const modelDigest = (isPolicy ? heard?.value.policyVersion : heard?.value.slots[slot]?.modelDigest) || null;
  const update = updateOf(heard?.value);
  const runs: RolloutDevice["runs"] =
    modelDigest === null
      ? "unknown"
      : modelDigest === rollout.modelDigest
        ? "model"
        : modelDigest === rollout.stableDigest
          ? "stable"
          : "other";
  return {
    runs,
    modelDigest,
    goldenPassed: heard?.value.goldenPassed ?? null,
    // That of a model says nothing of a policy.
    update: isPolicy && update?.slot !== POLICY ? null : update,
    reportedAt: isoOf(heard?.at ?? null),
  };
}

export function updateOf(reported: DeviceReported | undefined): RolloutDevice["update"] {
  const update = reported?.update ?? null;
  if (update === null) return null;
  const { generation, bytesDone, bytesAll } = update;
  return { ...update, generation: `${generation}`, bytesDone: Number(bytesDone), bytesAll: Number(bytesAll) };
}

function summariesOf(all: readonly RolloutDevice[]): RolloutDevices["arms"] {
  const empty = () => ({ devices: 0, onModel: 0, phases: {} as Record<string, number> });
  const summaries = { canary: empty(), control: empty(), rest: empty() };
  for (const { arm, runs, update } of all) {
    const summary = summaries[arm];
    summary.devices += 1;
    if (runs === "model") summary.onModel += 1;
    if (update !== null) summary.phases[update.phase] = (summary.phases[update.phase] ?? 0) + 1;
  }
  return summaries;
}
