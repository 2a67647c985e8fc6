/**
 * Whether a trained model harms a class at the site or elsewhere, beside the deployed model on the same frames. Pure.
 *
 * Only frames on which one of the two is right and the other wrong say anything (McNemar 1947): a prediction that did not change lost nothing, so
 * a model that changes few predictions needs few frames. Of `frames` of a class, `won` are right by the new model only, `lost` by the deployed
 * one only.
 *
 * M1. A group is `shown` if the one-sided lower bound of its change (Tango 1998) is above `-lossMax`. Evidence that errs towards harm, as photos
 *     that the deployed model knows by heart, may show it as well.
 * M2. What too few frames can show is not taken for shown: of a class the observed loss must be one that chance explains, at the level
 *     `chance` shared by the classes of a place (Holm 1979); a class that lost no more than it won always is.
 * M3. All frames of a place together may not have lost more than they won, unless the bound is shown (M1). So what M2 lets pass in one class is
 *     not lost in sum.
 */
import { holmAdjusted, mcNemarP, tangoLower } from "@tributary/statistics";
import type { JudgedFrame } from "./accuracy.ts";

export type HarmLimits = {
  /** Points of recall, as a share, that a class may lose at most. */
  readonly lossMax: number;
  /** Level of the lower bound. */
  readonly alpha: number;
  /** M2. Of all classes of a place together. */
  readonly chance: number;
};

export const harmDefaults: HarmLimits = { lossMax: 0.005, alpha: 0.05, chance: 0.2 };

export type HarmLine = {
  /** `alike`: photos of elsewhere that are made to look like the site. */
  readonly place: "site" | "alike" | "elsewhere";
  /** Number of the class; null: all of them. */
  readonly label: number | null;
  readonly frames: number;
  readonly won: number;
  readonly lost: number;
  /** One-sided lower bound of the change of recall. */
  readonly lower: number;
  /** `allowed`: not shown, and no harm by what so few frames can show (M2, M3). */
  readonly verdict: "shown" | "allowed" | "harm";
};

/** Frames of one place by both models; `cautious`: frames of which it is known that they err towards harm (M1). */
export type PlaceEvidence = {
  readonly place: HarmLine["place"];
  readonly judged: readonly JudgedFrame[];
  readonly cautious?: readonly JudgedFrame[];
};

/** One line of all frames of the place, and one of each class that has some. */
export function harmLines({ place, judged, cautious = [] }: PlaceEvidence, limits: HarmLimits): readonly HarmLine[] {
  const lineOf = (label: number | null) => {
    const own = countsOf(judged, label);
    const beside = countsOf(cautious, label);
    const lower = Math.max(tangoLower(own, limits.alpha), tangoLower(beside, limits.alpha / 2));
    return { place, label, frames: own.items, won: own.won, lost: own.lost, lower };
  };
  const labels = [...new Set(judged.map(({ label }) => label))].sort((a, b) => a - b);
  const classes = labels.map(lineOf);
  const chances = holmAdjusted(classes.map(({ won, lost }) => mcNemarP(lost, won)));
  const isShown = ({ lower }: { readonly lower: number }) => lower > -limits.lossMax;
  const all = lineOf(null);
  return [
    { ...all, verdict: isShown(all) ? "shown" : all.won >= all.lost ? "allowed" : "harm" }, // M1, M3
    ...classes.map((line, i): HarmLine => {
      const isChance = line.lost <= line.won || (chances[i] as number) > limits.chance; // M2
      return { ...line, verdict: isShown(line) ? "shown" : isChance ? "allowed" : "harm" };
    }),
  ];
}

function countsOf(judged: readonly JudgedFrame[], of: number | null) {
  let [items, won, lost] = [0, 0, 0];
  for (const { label, before, after } of judged) {
    if (of !== null && label !== of) continue;
    items += 1;
    if (after === label && before !== label) won += 1;
    if (before === label && after !== label) lost += 1;
  }
  return { items, won, lost };
}

const WORDS = { site: "at the site", alike: "on photos that look like the site", elsewhere: "elsewhere" } as const;
const NAMED_MAX = 3;

/** What was lost where, in words; null: no harm was found. */
export function harmWords(lines: readonly HarmLine[], classes: readonly string[]): string | null {
  const harmful = lines.filter(({ verdict }) => verdict === "harm");
  if (harmful.length === 0) return null;
  return harmful
    .slice(0, NAMED_MAX)
    .map(({ place, label, frames, won, lost }) => {
      const who = label === null ? "all classes together" : (classes[label] ?? `class ${label}`);
      return `${who} ${WORDS[place]}: ${lost} lost and ${won} won of ${frames} frames`;
    })
    .join("; ");
}
