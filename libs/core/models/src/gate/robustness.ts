/** Which kinds of damage a gate shows to two models. Pure. Every camera can be out of focus, every sensor noisy and every link
 * narrow: this damage is shown by default.
 *
 * R1. Light that a task never has does not measure its models: a scanner's pictures are all as bright, and one model may stand
 *     a glare that no device will see while a better one does not. So damage that changes the light is shown by default only
 *     if what it makes is as bright and as rich in contrast as some of the validation frames are. */
import { quantileOf } from "@tributary/statistics";

/** Of one picture in grey, 0 to 1. */
export type Light = { readonly luminance: number; readonly contrast: number };

/** The share of validation frames beyond which a brightness or contrast is no longer the task's own, at either end. */
const TAIL = 0.01;

/** Of the damaged pictures, as many as must look like the task's own for the damage to be plausible. */
const PLAUSIBLE = 0.1;

/** R1. Why the damaged pictures are beyond what the own ones show; null: they are not. */
export function beyondOwnLight(own: readonly Light[], damaged: readonly Light[]): string | null {
  if (own.length === 0 || damaged.length === 0) return null;
  const rangeOf = (lights: readonly Light[], name: keyof Light): readonly [low: number, high: number] => {
    const values = lights.map((light) => light[name]);
    return [quantileOf(values, TAIL) ?? 0, quantileOf(values, 1 - TAIL) ?? 1];
  };
  const names = ["luminance", "contrast"] as const;
  const ranges = names.map((name) => ({ name, range: rangeOf(own, name) }));
  const isWithin = (light: Light) =>
    ranges.every(({ name, range: [low, high] }) => light[name] >= low && light[name] <= high);
  const within = damaged.filter(isWithin).length / damaged.length;
  if (within >= PLAUSIBLE) return null;
  const shown = names.map((name) => {
    const of = (lights: readonly Light[]) => rangeOf(lights, name).map(percent).join(" to ");
    return `${name} ${of(damaged)}, that of the frames ${of(own)}`;
  });
  return `only ${percent(within)} of the damaged frames have light as the frames have it (${shown.join("; ")})`;
}

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
