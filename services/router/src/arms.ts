/** The arm of a frame, by a salted hash: the same in every router and after every restart (arms.ts A1 of @tributary/routing). */
import { createHash } from "node:crypto";
import { formatFrameId } from "@tributary/kernel";
import { ARM_DEFAULT, armOf, armUnitOf, type Experiment } from "@tributary/routing";
import type { ArmOf } from "@tributary/routing/settlement";

/** Device assignments remembered, so that a device is hashed once and not once a frame. */
const DEVICES_MAX = 100_000;

export function armsOf(experiment: Experiment): ArmOf {
  const drawn = (deviceId: string, frameId: string) =>
    armOf(
      experiment.arms,
      createHash("sha256")
        .update(armUnitOf(experiment, deviceId, frameId))
        .digest(),
    );
  const devices = new Map<string, string>();
  return (frame, reported) => {
    if (reported !== ARM_DEFAULT) return reported; // routing/arms.ts, A3
    if (experiment.arms.length < 2) return experiment.arms[0]?.name ?? ARM_DEFAULT;
    if (experiment.unit === "frame") return drawn("", formatFrameId(frame));
    const known = devices.get(frame.deviceId);
    if (known !== undefined) return known;
    if (devices.size >= DEVICES_MAX) devices.clear();
    const arm = drawn(frame.deviceId, "");
    devices.set(frame.deviceId, arm);
    return arm;
  };
}
