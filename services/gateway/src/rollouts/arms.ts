/**
 * The devices of a rollout: in which order it reaches them, in which arm each is, and what it says of itself.
 *
 * A1. Arms are those of the last analysis, as assigned (C4); before the first one, those that the weight makes.
 */
import type { DeviceReported } from "@tributary/contracts";
import {
  applyEvent,
  controlOf,
  type Rollout,
  type RolloutEvent,
  reachedBy,
  reachedDevices,
  stepOf,
} from "@tributary/rollouts";
import { z } from "zod";
import { isoOf } from "../answers/answer.ts";

export const updatePhases = [
  "UNKNOWN",
  "WAITING",
  "DOWNLOADING",
  "VERIFYING",
  "SHADOWING",
  "PROBATION",
  "COMMITTED",
  "REFUSED",
  "REVERTED",
] as const;

export const updateSchema = z.object({
  generation: z.string(),
  slot: z.string(),
  modelDigest: z.string(),
  phase: z.enum(updatePhases),
  code: z.string().describe("Why it was refused, reverted or waits; else empty."),
  reason: z.string().describe("The same in words."),
  bytesDone: z.number().int(),
  bytesAll: z.number().int().describe("0 while unknown."),
});

const arms = ["canary", "control", "rest"] as const;
const runs = ["model", "stable", "other", "unknown"] as const;

export const rolloutDeviceSchema = z.object({
  deviceId: z.string(),
  place: z.number().int().describe("In the order in which the rollout reaches its devices, from 0."),
  arm: z.enum(arms).describe("As assigned to the last analysis; rest: in neither."),
  reached: z.boolean().describe("Whether it shall run the model now."),
  runs: z.enum(runs).describe("What it infers with, by its own word."),
  modelDigest: z.string().nullable(),
  goldenPassed: z.boolean().nullable(),
  update: updateSchema.nullable().describe("How far its last desired state is."),
  reportedAt: z.string().nullable(),
});
export type RolloutDevice = z.output<typeof rolloutDeviceSchema>;

const armSummarySchema = z.object({
  devices: z.number().int(),
  onModel: z.number().int().describe("Say that they infer with the model."),
  phases: z.record(z.string(), z.number().int()).describe("Devices by the phase of their last update."),
});
export const rolloutDevicesSchema = z.object({
  items: z.array(rolloutDeviceSchema),
  total: z.number().int().describe("That the filter leaves, on all pages."),
  arms: z.record(z.enum(arms), armSummarySchema),
});
export type RolloutDevices = z.output<typeof rolloutDevicesSchema>;

export const rolloutDevicesQuery = z.strictObject({
  arm: z.enum(arms).optional(),
  runs: z.enum(runs).optional(),
  updatePhase: z.enum(updatePhases).optional(),
  from: z.coerce.number().int().min(0).default(0).describe("Leaves out so many of the first."),
  limit: z.coerce.number().int().min(1).max(10_000).default(1_000),
});

export type Heard = { readonly value: DeviceReported; readonly at: number };

export function devicesOf(
  events: readonly RolloutEvent[],
  heardOf: (deviceId: string) => Heard | undefined,
  { arm, runs, updatePhase, from, limit }: z.output<typeof rolloutDevicesQuery>,
): RolloutDevices {
  const { rollout, analysed } = foldOf(events);
  const canaries = new Set(reachedBy(rollout.cohorts, analysed));
  const { controlsPerCanary } = rollout.spec.spec.strategy.canary;
  const controls = new Set(analysed === 0 ? [] : controlOf(rollout.cohorts, analysed, controlsPerCanary));
  const reached = new Set(reachedDevices(rollout));
  const all = rollout.cohorts.order.map((deviceId, place): RolloutDevice => {
    const own = canaries.has(deviceId) ? "canary" : controls.has(deviceId) ? "control" : "rest";
    return { deviceId, place, arm: own, reached: reached.has(deviceId), ...saidBy(heardOf(deviceId), rollout) };
  });
  const left = all.filter(
    (device) =>
      (arm === undefined || device.arm === arm) &&
      (runs === undefined || device.runs === runs) &&
      (updatePhase === undefined || device.update?.phase === updatePhase),
  );
  return { items: left.slice(from, from + limit), total: left.length, arms: summariesOf(all) };
}

/** The state now, and the weight of the last analysis that began. */
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
    else if (kind === "step-started" && analysed === 0) analysed = rollout.weight; // A1
  }
  if (rollout === null) throw new Error("a history without its first event");
  return { rollout, analysed: analysed < 100 ? analysed : 0 };
}

function saidBy(heard: Heard | undefined, rollout: Rollout) {
  const { slot } = rollout.spec.spec;
  const modelDigest = heard?.value.slots[slot]?.modelDigest ?? null;
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
    update: updateOf(heard?.value),
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
