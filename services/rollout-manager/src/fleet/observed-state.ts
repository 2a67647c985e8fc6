/** The observed state of a device: what it reports, unless its frames contradict that.
 *
 * B1. Frames are stronger evidence than a report: a device that reports one model while its newer frames are of another runs
 *     the other, and has left the one that it reports. */
import { PERCEPTION, POLICY } from "@tributary/contracts";
import type { DeviceState } from "@tributary/rollouts";
import type { ByFrames } from "../watching/metrics-fold.ts";
import type { FleetMember } from "./fleet-table.ts";

export function isContradicted(
  device: FleetMember,
  frames: ByFrames | undefined,
  inconsistentAfterMs: number,
): boolean {
  const claimed = device.slots[PERCEPTION];
  return (
    frames !== undefined &&
    claimed !== undefined &&
    frames.modelDigest !== claimed &&
    frames.at > device.slotsAt + inconsistentAfterMs
  );
}

export function observedStateOf(
  device: FleetMember,
  slot: string,
  frames: ByFrames | undefined,
  inconsistentAfterMs: number,
): DeviceState {
  const { generation, slots, at, goldenPassed, update } = device;
  if (slot === POLICY) return { generation, modelDigest: device.policyVersion, at, goldenPassed: null, update: null };
  const claimed = slots[slot] ?? "";
  const state = { generation, modelDigest: claimed, at, goldenPassed: slot === PERCEPTION ? goldenPassed : null };
  // Frames show this slot alone.
  if (slot === PERCEPTION && frames !== undefined && isContradicted(device, frames, inconsistentAfterMs)) {
    return {
      ...state,
      modelDigest: frames.modelDigest,
      goldenPassed: null, // The golden test was of the claimed model.
      update: {
        generation,
        modelDigest: claimed,
        phase: "REVERTED",
        code: "digest-contradicted",
        reason: `it reports ${claimed.slice(0, 12)}, and its frames are of ${frames.modelDigest.slice(0, 12)}`,
      },
    };
  }
  return { ...state, update: update?.slot === slot ? update : null };
}

/** Slots that a device reports anything of. */
export const slotsOf = ({ slots, update }: FleetMember): readonly string[] => [
  ...new Set([...Object.keys(slots), ...(update === null ? [] : [update.slot]), POLICY]),
];
