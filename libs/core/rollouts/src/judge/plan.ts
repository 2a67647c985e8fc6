/** Whether a canary can reach a verdict at all, computed before it starts. */
import { Failure } from "@tributary/kernel";
import { logEvidenceMax, mixtureVariance } from "./evidence.ts";

export type ArmsPlan = {
  readonly canaries: number;
  readonly controls: number;
  /** Rate of good frames expected, e.g. accuracy 0.9. */
  readonly rate: number;
  /** Frames of one device with a known outcome by the moment at which evidence should grow fastest, on average over the arm's devices; half
   * an hour's. */
  readonly frames: number;
  /** Standard deviation between devices that their past does not explain, in units of the metric. */
  readonly deviceSd: number;
};

/** Where frames with a known outcome are few, evidence is planned for a later moment: that at which the comparison is known to a point. */
const PLANNED_SD_MAX = 0.01;

/** Variance of the comparison at the planned moment. */
export function plannedVariance({ canaries, controls, rate, frames, deviceSd }: ArmsPlan): number {
  const perDevice = deviceSd ** 2 + (rate * (1 - rate)) / frames;
  return Math.min(perDevice / canaries + perDevice / controls, PLANNED_SD_MAX ** 2);
}

export const DEVICES_MIN = 8;
/** Of each arm, before its accuracy is compared: with fewer the estimate is too far from a normal distribution, since few of them are wrong. */
export const LABELS_MIN = 50;

/** Refuses arms that cannot convince, naming what would do. */
export function checkArms(canaries: number, controls: number, alpha: number): void {
  const needed = smallestArms(alpha);
  if (canaries >= needed && controls >= needed) return;
  const [which, count] = canaries < needed ? ["canary", canaries] : ["control", controls];
  const most = mostEvidence(count, alpha);
  const why =
    count < 2 || most < -Math.log(alpha)
      ? `whatever the harm, ln e cannot exceed ${Math.max(0, most).toFixed(1)}, and ${(-Math.log(alpha)).toFixed(1)} is needed`
      : `fewer than ${DEVICES_MIN} devices show too little of the fleet`;
  throw new Failure("arms-too-small", "ask-a-person", `the ${which} has ${count} devices: ${why}; ${needed} would do`);
}

/** The fewest devices of an arm with which harm can be shown. */
export function smallestArms(alpha: number): number {
  let devices = DEVICES_MIN;
  while (mostEvidence(devices, alpha) < -Math.log(alpha)) devices += 1;
  return devices;
}

/** With `devices` in the smaller arm, whose variance then counts almost alone. */
const mostEvidence = (devices: number, alpha: number): number =>
  devices < 2 ? 0 : logEvidenceMax({ variance: 1, freedom: devices - 1 }, mixtureVariance(1, alpha));
