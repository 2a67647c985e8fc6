/** The observed state of a device: what it reports, unless its frames contradict that.
 *
 * B1. Frames are harder to get wrong than a report: a device that reports one model while its newer frames are another's runs
 *     the other, and has left the one that it claims. */
import { PERCEPTION } from "@tributary/contracts";
import type { DeviceState } from "@tributary/rollouts";
import type { ByFrames } from "../watching/metrics-fold.ts";
import type { FleetMember } from "./fleet-table.ts";

export function isContradicted(device: FleetMember, frames: ByFrames | undefined, lieAfterMs: number): boolean {
  const claimed = device.slots[PERCEPTION];
  return (
    frames !== undefined &&
    claimed !== undefined &&
    frames.modelDigest !== claimed &&
    frames.at > device.slotsAt + lieAfterMs
  );
}

export function observedStateOf(
  device: FleetMember,
  slot: string,
  frames: ByFrames | undefined,
  lieAfterMs: number,
): DeviceState {
  const { generation, slots, at, goldenPassed, update } = device;
  const claimed = slots[slot] ?? "";
  const state = { generation, modelDigest: claimed, at, goldenPassed: slot === PERCEPTION ? goldenPassed : null };
  // Frames show this slot alone.
  if (slot === PERCEPTION && frames !== undefined && isContradicted(device, frames, lieAfterMs)) {
    return {
      ...state,
      modelDigest: frames.modelDigest,
      goldenPassed: null, // It is of the claimed one.
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

/** Slots that a device says anything of. */
export const slotsOf = ({ slots, update }: FleetMember): readonly string[] => [
  ...new Set([...Object.keys(slots), ...(update === null ? [] : [update.slot])]),
];
