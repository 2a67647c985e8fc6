/** Between the deployed weights and the trained ones (Wortsman 2022): how much of the new ones is taken decides how much the old
 * sites lose. It is chosen on frames that were neither trained on nor are shown to the gate. */
import { mcNemarP } from "@tributary/statistics";
import type { Parameters } from "./adam.ts";
import { type HarmLine, harmDefaults, harmWords } from "./harm.ts";

/** `share` of the trained weights, the rest of the deployed ones. 1 gives the trained ones exactly. */
export function blended(deployed: Parameters, trained: Parameters, share: number): Parameters {
  return new Map(
    [...deployed].map(([name, old]) => {
      const values = trained.get(name) ?? old;
      return [
        name,
        share === 1 ? values.slice() : old.map((value, i) => value + share * ((values[i] as number) - value)),
      ];
    }),
  );
}

/** Accuracies on TUNE, as deployed: quantised where the deployed model is. */
export type BlendAccuracy = { readonly blend: number; readonly slice: number; readonly base: number };

/** `lines`: beside the deployed model, at each place that has frames (harm.ts). */
export type MeasuredBlend = BlendAccuracy & { readonly lines: readonly HarmLine[] };

export type ChosenBlend = {
  readonly blend: number;
  /** Why the training gives nothing; null: it gives something. */
  readonly nothing: string | null;
};

/** Accuracies are quotients of counts: equal ones may differ in their last bit. */
const TOLERANCE = 1e-9;

/**
 * The largest blend that harms no class anywhere and gains at the site, unless another such one is better on the slice by more than a standard
 * error of its frames (the rule of Breiman et al. 1984, towards the weights that were trained): the slice has few frames to tune on,
 * and their best is mostly chance. Where there is none, the deployed model stays as it is, a blend of 0: the training gives nothing.
 */
export function chooseBlend(measured: readonly MeasuredBlend[], classes: readonly string[]): ChosenBlend {
  const byBlend = measured.toSorted((a, b) => a.blend - b.blend);
  const harmless = byBlend.filter(({ lines }) => harmWords(lines, classes) === null);
  const allowed = harmless.filter(({ lines }) => gains(lines));
  const best = Math.max(...allowed.map(({ slice }) => slice));
  const error = Math.sqrt((best * (1 - best)) / Math.max(1, sliceFramesOf(allowed)));
  const chosen = allowed.findLast(({ slice }) => slice >= best - error - TOLERANCE);
  if (chosen !== undefined) return { blend: chosen.blend, nothing: null };
  if (harmless.length > 0) {
    const blends = harmless.map(({ blend }) => blend).join(", ");
    return { blend: 0, nothing: `no blend without harm (${blends}) is better at the site on the frames to tune on` };
  }
  const [smallest] = byBlend;
  const harm = harmWords(smallest?.lines ?? [], classes) ?? "nothing was measured";
  return { blend: 0, nothing: `every blend does harm; the smallest, ${smallest?.blend}: ${harm}` };
}

const allOf = (lines: readonly HarmLine[], place: HarmLine["place"]) =>
  lines.find((line) => line.place === place && line.label === null);

const sliceFramesOf = ([first]: readonly MeasuredBlend[]): number => allOf(first?.lines ?? [], "site")?.frames ?? 0;

/** On frames of the site; where these are even, on photos that are made to look like them. */
function gains(lines: readonly HarmLine[]): boolean {
  const site = allOf(lines, "site");
  if (site === undefined || site.won !== site.lost) return site !== undefined && site.won > site.lost;
  const alike = allOf(lines, "alike");
  return alike !== undefined && mcNemarP(alike.won, alike.lost) <= harmDefaults.alpha;
}
