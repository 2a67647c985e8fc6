/**
 * Whether a trained model harms a class at the site or elsewhere, beside the deployed model on the same frames. Pure.
 *
 * Only frames on which one of the two is right and the other wrong say anything (McNemar 1947): a prediction that did not change lost nothing, so
 * a model that changes few predictions needs few frames. Of `frames` of a class, `won` are right by the new model only, `lost` by the deployed
 * one only.
 *
 * M1. A group is `shown` if the one-sided lower bound of its change (Tango 1998) is above `-lossMax`.
 * M2. What too few frames can show is not taken for shown: of a class the observed loss must be one that chance explains, at the level
 *     `chance` shared by the classes of a place (Holm 1979); a class that lost no more than it won always is.
 * M3. All frames of a place together may not have lost more than `lossMax`, nor elsewhere become less certain by it (M6, at `alpha`), unless the
 *     bound is shown (M1). So what M2 lets pass in one class is not lost in sum.
 * M4. Indirect evidence, of photos that only stand for a place, never shows that there is no harm, and a loss of all classes alike is not harm
 *     there: photos that the deployed model knows by heart are forgotten first when weights move, which no frame of the fleet notices. It shows
 *     a class that pays for the others: that lost more of its changed answers than all classes together, beyond chance (M2), or, of replayed
 *     photos, `TRADED_MAX` of its photos more than all classes did: held-out frames of one class are often too few to show even that.
 * M5. Drift makes a model answer one class for many others: it then recalls this class well, for nothing, and whatever repairs the others costs it
 *     recall. So at the site such a loss is harm only if the class's F1, which counts wrong answers by it as well, does not rise; on photos that
 *     only look like the site, and of which all classes together win more than they lose, if it falls beyond chance (at `alpha`, by its
 *     linearisation: Woodruff 1971). These photos are weighed to be as hard for the deployed model as the site is (`weighedAsAtSite`): of photos that
 *     are easier, fewer errors are left to repair, and a repair looks like a loss. Elsewhere nothing is to be repaired, and recall alone counts.
 * M6. Twenty frames of a class do not show a loss of five points by answers that changed, but those that did not change yet say more: how much less
 *     certain the new model is of their label (`certaintyOf`). A class elsewhere, or of replayed photos, of which this certainty falls by more than `lossMax` is
 *     harmed (Student's t over its frames, at the level `chance` shared by the classes of a place), unless its answers show that it is not (M1). Replayed
 *     photos of which all classes are less certain are no harm (M4): there the fall of all classes together is allowed as well, and where
 *     enough frames elsewhere judge the class itself, `TRADED_MAX` beyond that.
 */
import { binomialCdf, holmAdjusted, momentsOf, normalCdf, studentTail, tangoLower } from "@tributary/statistics";
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
  /** Indirect (M4) are `alike`, photos of elsewhere that are made to look like the site, and `replayed`, photos of elsewhere that were
   * trained on. */
  readonly place: "site" | "alike" | "elsewhere" | "replayed";
  /** Number of the class; null: all of them. */
  readonly label: number | null;
  readonly frames: number;
  readonly won: number;
  readonly lost: number;
  /** One-sided lower bound of the change of recall. */
  readonly lower: number;
  /** M6. Mean change of the certainty of the label. */
  readonly certainty: number;
  /** `allowed`: not shown, and no harm by what so few frames can show (M2, M3). */
  readonly verdict: "shown" | "allowed" | "harm";
};

const INDIRECT: ReadonlySet<HarmLine["place"]> = new Set(["alike", "replayed"]);

const AT_SITE: ReadonlySet<HarmLine["place"]> = new Set(["site", "alike"]);

/** M4. Of a class with fewer photos a single one would be as much. */
const TRADED_MAX = 0.02;
const TRADED_FRAMES_MIN = 100;

const netLoss = ({
  frames,
  won,
  lost,
}: {
  readonly frames: number;
  readonly won: number;
  readonly lost: number;
}): number => (frames < TRADED_FRAMES_MIN ? 0 : (lost - won) / frames);

/** One line of all frames of the place, and one of each class that has some. `judged`: by both models; `elsewhere`: the frames of elsewhere, beside
 * which replayed photos are read. */
export function harmLines(
  place: HarmLine["place"],
  judged: readonly JudgedFrame[],
  { lossMax, alpha, chance }: HarmLimits,
  elsewhere: readonly JudgedFrame[] = [],
): readonly HarmLine[] {
  const lineOf = (label: number | null) => {
    const { items, won, lost } = countsOf(judged, label);
    const { mean: certainty } = certainties(judged, label);
    return { place, label, frames: items, won, lost, lower: tangoLower({ items, won, lost }, alpha), certainty };
  };
  const isShown = ({ lower }: { readonly lower: number }) => !INDIRECT.has(place) && lower > -lossMax; // M1, M4
  const labels = [...new Set(judged.map(({ label }) => label))].sort((a, b) => a - b);
  const classes = labels.map(lineOf);
  const all = lineOf(null);
  const shared = place === "replayed" ? Math.min(0, all.certainty) : 0; // M6
  const isJudged = (label: number | null) =>
    elsewhere.filter((frame) => frame.label === label).length >= TRADED_FRAMES_MIN;
  const allowedFall = (label: number | null) => (isJudged(label) ? Math.max(TRADED_MAX, lossMax) : lossMax);
  const usual = INDIRECT.has(place) ? Math.max(0.5, all.lost / Math.max(1, all.won + all.lost)) : 0.5; // M4
  const chances = holmAdjusted(classes.map(({ won, lost }) => lossP(won, lost, usual)));
  const falls = holmAdjusted(
    classes.map(({ label }) => (AT_SITE.has(place) ? 1 : fallP(judged, label, shared - allowedFall(label)))),
  );
  const isRepaired = judged.reduce((sum, frame) => sum + (frame.weight ?? 1) * gainOf(frame), 0) > 0;
  /** A loss that M5 excuses. */
  const isExcused = (label: number) => {
    const { change, error } = f1Change(judged, label);
    return change > 0 || (INDIRECT.has(place) && isRepaired && normalCdf(change / error) > alpha);
  };
  const isSumKept =
    all.lost - all.won <= lossMax * all.frames && (AT_SITE.has(place) || fallP(judged, null, -lossMax) > alpha); // M3
  return [
    { ...all, verdict: isShown(all) ? "shown" : INDIRECT.has(place) || isSumKept ? "allowed" : "harm" }, // M4
    ...classes.map((line, i): HarmLine => {
      const isChance = line.lost <= line.won || (chances[i] as number) > chance; // M2
      const isTraded = place === "replayed" && netLoss(line) - netLoss(all) > Math.max(TRADED_MAX, lossMax); // M4
      const isFalling = (falls[i] as number) <= chance; // M6
      const isAllowed =
        (isChance && !isTraded && !isFalling) || (AT_SITE.has(place) && isExcused(line.label as number)); // M5
      const verdict = isShown(line) ? "shown" : isAllowed ? "allowed" : "harm";
      return { ...line, verdict };
    }),
  ];
}

/** `error`: the standard one, by how far each frame moves the change. */
function f1Change(judged: readonly JudgedFrame[], of: number): { readonly change: number; readonly error: number } {
  const counted = (which: "before" | "after") => {
    const frames = judged.map((frame) => ({
      weight: frame.weight ?? 1,
      right: Number(frame[which] === of && frame.label === of),
      there: Number(frame[which] === of) + Number(frame.label === of),
    }));
    const sum = (value: (frame: (typeof frames)[number]) => number) =>
      frames.reduce((total, frame) => total + frame.weight * value(frame), 0);
    const all = Math.max(
      1,
      sum(({ there }) => there),
    );
    const f1 = (2 * sum(({ right }) => right)) / all;
    return { f1, parts: frames.map(({ weight, right, there }) => (weight * (2 * right - f1 * there)) / all) };
  };
  const [before, after] = [counted("before"), counted("after")];
  const squares = after.parts.map((part, i) => (part - (before.parts[i] as number)) ** 2);
  return { change: after.f1 - before.f1, error: Math.sqrt(squares.reduce((sum, square) => sum + square, 0)) };
}

/** How likely so many of the changed answers are losses, where this share of them usually is. */
const lossP = (won: number, lost: number, usual: number): number =>
  lost === 0 ? 1 : binomialCdf(won, won + lost, 1 - usual);

/** M6. How likely a certainty that falls to `floor` falls as far as that of this class. */
function fallP(judged: readonly JudgedFrame[], of: number | null, floor: number): number {
  const { n, mean, squares } = certainties(judged, of);
  if (n < 2 || mean >= floor) return 1;
  return studentTail((floor - mean) / Math.sqrt(squares / (n - 1) / n), n - 1);
}

const certainties = (judged: readonly JudgedFrame[], of: number | null) =>
  momentsOf(judged.flatMap((frame) => (of === null || frame.label === of ? [frame.gained] : [])));

const gainOf = ({ label, before, after }: JudgedFrame): number => Number(after === label) - Number(before === label);

function countsOf(judged: readonly JudgedFrame[], of: number | null) {
  let [items, won, lost] = [0, 0, 0];
  for (const frame of judged) {
    if (of !== null && frame.label !== of) continue;
    items += 1;
    const gain = gainOf(frame);
    if (gain > 0) won += 1;
    if (gain < 0) lost += 1;
  }
  return { items, won, lost };
}

const WORDS: Readonly<Record<HarmLine["place"], string>> = {
  site: "at the site",
  alike: "on photos that look like the site",
  elsewhere: "elsewhere",
  replayed: "on replayed photos",
};
const NAMED_MAX = 3;

/** What was lost where, in words; null: no harm was found. */
export function harmWords(lines: readonly HarmLine[], classes: readonly string[]): string | null {
  const harmful = lines.filter(({ verdict }) => verdict === "harm");
  if (harmful.length === 0) return null;
  return harmful
    .slice(0, NAMED_MAX)
    .map(({ place, label, frames, won, lost, certainty }) => {
      const who = label === null ? "all classes together" : (classes[label] ?? `class ${label}`);
      const fallen = certainty < 0 ? `, ${(-100 * certainty).toFixed(1)} points less certain` : "";
      return `${who} ${WORDS[place]}: ${lost} lost and ${won} won of ${frames} frames${fallen}`;
    })
    .join("; ");
}
