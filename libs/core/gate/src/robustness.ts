/** Which kinds of damage a gate shows to two models. Pure.
 *
 * R1. Light that a task never has says nothing of its models: a scanner's pictures are all as bright, and one model may stand a
 *     glare that no device will see while a better one does not. So damage that changes the light is shown by default only if what
 *     it makes is as bright and as rich in contrast as some of the validation frames are.
 * R2. Every camera can be out of focus, every sensor noisy and every link narrow: this damage is shown by default. */
import { quantileOf } from "@tributary/statistics";

/** Of one picture in grey, 0 to 1. */
export type Light = { readonly luminance: number; readonly contrast: number };

/** The share of validation frames beyond which a brightness or contrast is no longer the task's own, at either end. */
const TAIL = 0.01;

/** R1. Why the median of the damaged pictures is beyond what the own ones show; null: it is not. */
export function beyondOwnLight(own: readonly Light[], damaged: readonly Light[]): string | null {
  for (const name of ["luminance", "contrast"] as const) {
    const values = own.map((light) => light[name]);
    const [low, high] = [quantileOf(values, TAIL), quantileOf(values, 1 - TAIL)];
    const median = quantileOf(
      damaged.map((light) => light[name]),
      0.5,
    );
    if (low === null || high === null || median === null) return null;
    if (median < low || median > high) {
      return `its ${name} would be ${percent(median)}, that of the frames is ${percent(low)} to ${percent(high)}`;
    }
  }
  return null;
}

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
