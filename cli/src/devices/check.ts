/** `devices check`: what a device reports of its golden frames, compared with what it reported before it was requested. */
import type { Device } from "@tributary/api";

type Golden = NonNullable<NonNullable<Device["reported"]>["golden"]>;

/** Agents of earlier versions, and gateways, do not have it. */
export const goldenOf = (device: Device): Golden | null => device.reported?.golden ?? null;

/** The run of golden frames that answers the request: another one than before, reported after it. */
export function answerOf(before: Device, requested: Device, now: Device): Golden | null {
  const golden = goldenOf(now);
  const isLater = (now.reported?.reportedAt ?? "") >= (requested.checkRequestedAt ?? "");
  return golden !== null && golden.at !== goldenOf(before)?.at && isLater ? golden : null;
}

export const hasPassed = ({ frames, failed }: Golden): boolean => frames > 0 && failed === 0;

export function goldenWords(device: Device): string {
  const golden = goldenOf(device);
  if (golden === null) return "not reported";
  const { at, frames, failed } = golden;
  if (frames === 0) return `none were run (${at})`;
  return failed === 0 ? `all ${frames} reproduced (${at})` : `${failed} of ${frames} NOT reproduced (${at})`;
}

/** Why there is no answer after a wait, and what to do. */
export function silenceWords(device: Device, waitedS: number): string {
  const { deviceId, reported, lastSeenAt } = device;
  if (reported === null) {
    return `${deviceId} has never reported anything. Is it running, with its password? It runs its golden frames when it connects.`;
  }
  const seen = lastSeenAt === null ? "" : `, last seen ${lastSeenAt}`;
  const agent = `agent ${reported.agentVersion}${seen}`;
  if (goldenOf(device) === null) {
    return `${deviceId} (${agent}) does not report golden frames: its agent is of an earlier version, or runs no model yet. Update the agent.`;
  }
  return `${deviceId} (${agent}) did not answer within ${waitedS} s. It runs its golden frames when it is connected; see: tributary describe device ${deviceId}`;
}
