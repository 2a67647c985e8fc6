/**
 * Which label a frame is learned by, if any.
 *
 * L1. People's labels come first: with one of them, the cloud's answer is ignored. The cloud's counts only where it is allowed, above
 *     a floor, and stays marked as CLOUD.
 * L2. Of one labeller the newest label holds. Labellers who disagree contradict each other: nobody is right by being last.
 */
import {
  type FrameLabel,
  type LabelledFrame,
  type LeftOut,
  type LeftOutCounts,
  LeftOutTally,
  type UsableFrame,
} from "./candidate.ts";

export type LabelRules = {
  /** Of the model. */
  readonly classes: readonly string[];
  /** Null: the cloud's labels are not used. */
  readonly cloud: { readonly floor: number } | null;
};

export type UsableFrames = {
  readonly frames: readonly UsableFrame[];
  readonly leftOut: LeftOutCounts;
  /** Frames that several people labelled, and those of them on which they differ. */
  readonly twice: TwiceLabelled;
};

export type TwiceLabelled = { readonly frames: number; readonly differ: number };

export function usableFrames(frames: readonly LabelledFrame[], rules: LabelRules): UsableFrames {
  const classes = new Set(rules.classes);
  const tally = new LeftOutTally();
  const usable: UsableFrame[] = [];
  const twice = { frames: 0, differ: 0 };
  for (const { labels, ...frame } of frames) {
    const answers = new Map(
      labels.flatMap(({ source, by, label }) => (source === "CLOUD" ? [] : [[by, label] as const])),
    );
    if (answers.size > 1) {
      twice.frames += 1;
      if (new Set(answers.values()).size > 1) twice.differ += 1;
    }
    const chosen = labelOf(labels, classes, rules.cloud);
    if (typeof chosen === "string") tally.add(chosen);
    else usable.push({ ...frame, label: chosen.label as string, source: chosen.source });
  }
  return { frames: usable, leftOut: tally.counts(), twice };
}

function labelOf(
  labels: readonly FrameLabel[],
  classes: ReadonlySet<string>,
  cloud: LabelRules["cloud"],
): FrameLabel | LeftOut {
  const newest = new Map(labels.map((label) => [`${label.source}\n${label.by}`, label])); // L2
  const people = [...newest.values()].filter(({ source }) => source !== "CLOUD");
  const [first] = people;
  if (first !== undefined) {
    if (people.some(({ label }) => label !== first.label)) return "labels-contradict"; // L2
    if (first.label === null) return "cannot-be-labelled";
    return classes.has(first.label) ? first : "class-unknown";
  }
  const answer = [...newest.values()].at(-1);
  if (answer === undefined || answer.label === null || cloud === null) return "unlabelled"; // L1
  if ((answer.confidence ?? 0) < cloud.floor) return "cloud-unsure";
  return classes.has(answer.label) ? answer : "class-unknown";
}
