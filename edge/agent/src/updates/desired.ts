/** Validates the messages on `down/desired`. */
import { DeviceDesired } from "@tributary/contracts";
import { Failure, isDigest } from "@tributary/kernel";
import { type Desired, isMaintenanceWindow, type Wanted } from "@tributary/updates";

const FRAMES_MAX = 1_000_000;
const WINDOWS_MAX = 32;

/** What it says of one slot. Throws Failure or ContractError. Slots that this agent does not have are ignored. */
export function parseDesired(payload: Uint8Array, deviceId: string, slotName: string): Desired {
  const desired = DeviceDesired.decodeSingleObject(payload);
  if (desired.deviceId !== deviceId) throw refuse("desired-of-another", `it is for ${desired.deviceId}`);
  if (desired.generation <= 0n) throw refuse("desired-invalid", `generation ${desired.generation} is not positive`);
  const slot = Object.hasOwn(desired.slots, slotName) ? desired.slots[slotName] : undefined;
  if (slot === undefined) return { generation: desired.generation, wanted: null };
  const {
    modelDigest: digest,
    modelName: name,
    modelVersion: version,
    shadowFrames,
    probationFrames,
    condition,
    windows: written,
  } = slot;
  if (!isDigest(digest)) throw refuse("desired-invalid", `"${digest.slice(0, 80)}" is no digest`);
  for (const [what, frames] of Object.entries({ shadowFrames, probationFrames })) {
    if (frames < 0 || frames > FRAMES_MAX)
      throw refuse("desired-invalid", `${what} is ${frames}, not 0 to ${FRAMES_MAX}`);
  }
  // A window that cannot be understood must not become "at any time".
  const windows = written.filter(isMaintenanceWindow);
  if (windows.length < written.length) {
    const what = JSON.stringify(written.find((window) => !isMaintenanceWindow(window)));
    throw refuse("desired-invalid", `it names a maintenance window that this device cannot obey: ${what}`);
  }
  if (windows.length > WINDOWS_MAX) throw refuse("desired-invalid", `more than ${WINDOWS_MAX} maintenance windows`);
  const wanted: Wanted = { digest, name, version, shadowFrames, probationFrames, condition, windows };
  return { generation: desired.generation, wanted };
}

const refuse = (code: string, message: string) => new Failure(code, "give-up", message);
