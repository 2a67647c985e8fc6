/** One fault on a task's fleet: what verdicts open, and whether their cause and name are right. */
import type { DriftVerdict } from "@tributary/contracts";
import { type DriftReference, decideVerdicts, FleetView, verdictDefaults } from "@tributary/drift";
import { type Camera, type Device, FLEET, START, show, WINDOW_MS } from "./fleet.ts";

export type Outcome = {
  readonly verdicts: readonly Pick<DriftVerdict, "cause" | "fault" | "scopeKey" | "scopeValue" | "summary">[];
  /** Devices accused of anything by an open verdict, that had no fault. */
  readonly innocent: number;
};

/** Cameras by device after their last window; looks every `LOOK_EVERY` windows. */
const LOOK_EVERY = 15;

const hash = (text: string): string => {
  let h = 0n;
  for (const char of text) h = (h * 1_000_003n + BigInt(char.charCodeAt(0))) % 2n ** 61n;
  return h.toString(16).padStart(16, "0");
};

/** `step`: of one window of every camera; `reports`: what devices report besides. */
export function watch(
  devices: readonly Device[],
  cameras: readonly Camera[],
  reference: DriftReference,
  faulty: ReadonlySet<number>,
  step: (window: number) => void,
  reports: (view: FleetView) => void = () => {},
): Outcome {
  const verdicts = new Map<string, DriftVerdict>();
  const view = new FleetView();
  show(view, devices, reference);
  reports(view);
  for (let window = 1; window <= FLEET.faultWindows; window++) {
    step(window);
    if (window % LOOK_EVERY !== 0) continue;
    for (const { device, state } of cameras) view.found(device.deviceId, state.findings());
    const now = START + (FLEET.baselineWindows + window) * WINDOW_MS;
    for (const verdict of decideVerdicts(view, verdicts, now, verdictDefaults, hash)) {
      verdicts.set(verdict.verdictId, verdict);
    }
  }
  const open = [...verdicts.values()].filter(({ state }) => state === "OPEN");
  const accused = new Set(open.flatMap((verdict) => verdict.devices.map(({ deviceId }) => deviceId)));
  const innocent = devices.filter(({ i, deviceId }) => accused.has(deviceId) && !faulty.has(i)).length;
  return { verdicts: open, innocent };
}
