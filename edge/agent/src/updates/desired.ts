/** Validates the messages on `down/desired`. */
import { DeviceDesired } from "@tributary/contracts";
import { Failure, isDigest } from "@tributary/kernel";
import { type Desired, isMaintenanceWindow, type Wanted } from "@tributary/updates";

const FRAMES_MAX = 1_000_000;
const WINDOWS_MAX = 32;
const ARM = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** What it says of one slot, and the arm of an experiment that the device is in. Throws Failure or ContractError. Slots that
 * this agent does not have are ignored. */
export function parseDesired(
  payload: Uint8Array,
  deviceId: string,
  slotName: string,
): { readonly desired: Desired; readonly arm: string } {
  const message = DeviceDesired.decodeSingleObject(payload);
  const { generation, arm, slots } = message;
  if (message.deviceId !== deviceId) throw refuse("desired-of-another", `it is for ${message.deviceId}`);
  if (generation <= 0n) throw refuse("desired-invalid", `generation ${generation} is not positive`);
  if (!ARM.test(arm)) {
    const rule = "1 to 64 letters, digits, '_', '.' and '-', of which the first is a letter or digit";
    throw refuse("desired-invalid", `its arm is ${JSON.stringify(arm.slice(0, 80))}, not ${rule}`);
  }
  const slot = Object.hasOwn(slots, slotName) ? slots[slotName] : undefined;
  return { desired: { generation, wanted: slot === undefined ? null : wantedOf(slot) }, arm };
}

function wantedOf(slot: DeviceDesired["slots"][string]): Wanted {
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
  return { digest, name, version, shadowFrames, probationFrames, condition, windows };
}

const refuse = (code: string, message: string) => new Failure(code, "give-up", message);
