/** What is decided of an experiment, once its arms have verdicts or its end is reached. (experiments.ts X3) */
import type { Instant } from "@tributary/kernel";
import type { ArmJudged, ExperimentVerdict } from "./events.ts";
import { endOf, judgedIn } from "./experiment.ts";
import type { ArmVerdict } from "./judge.ts";
import type { Tracked, TrackedArm } from "./tracked.ts";

type Decision = { readonly verdict: ExperimentVerdict; readonly winner: string | null; readonly why: string };

/** The log's, or the one that is to be appended next. */
export const verdictOf = ({ experiment }: Tracked, { name, found }: TrackedArm): ArmJudged | null =>
  judgedIn(experiment, name) ?? found;

/** Why the last look decided nothing, in words. */
export function whyOf(tracked: Tracked): string {
  const undecided = tracked.arms.slice(1).filter((arm) => verdictOf(tracked, arm) === null);
  return (
    tracked.held ??
    (undecided.length === 0
      ? "every arm has its verdict"
      : `undecided: ${undecided.map(({ name }) => name).join(", ")}`)
  );
}

/** X3. Null: it goes on. */
export function decisionOf(tracked: Tracked, now: Instant): Decision | null {
  const { experiment, arms } = tracked;
  const others = arms.slice(1).map((arm) => ({ ...arm, verdict: judgedIn(experiment, arm.name) }));
  const isOver = now >= endOf(experiment);
  if (!isOver && others.some(({ verdict }) => verdict === null)) return null;
  const having = (wanted: ArmVerdict) => others.filter(({ verdict }) => verdict?.verdict === wanted);
  const gainOf = ({ look }: Pick<TrackedArm, "look">) => look?.gain.estimate ?? Number.NEGATIVE_INFINITY;
  const [best] = having("adopt").toSorted((a, b) => gainOf(b) - gainOf(a));
  const control = arms[0]?.name ?? "";
  if (best !== undefined) {
    const what = `${best.name} is worth more than ${control}, and late answers are within the margin`;
    return { verdict: "adopt", winner: best.name, why: what };
  }
  if (others.some(({ verdict }) => verdict === null)) {
    return { verdict: "hold", winner: null, why: `undecided at its end: ${whyOf(tracked)}` };
  }
  const same = having("equivalent").map(({ name }) => name);
  if (same.length > 0) {
    const what = `${same.join(", ")} ${same.length === 1 ? "is" : "are"} worth the same as ${control}, but for the rope`;
    return { verdict: "equivalent", winner: null, why: what };
  }
  const reasons = others.map(({ name, verdict }) =>
    verdict?.because === "late" ? `${name} is late more often than the margin allows` : `${name} is worth less`,
  );
  return { verdict: "reject", winner: null, why: `${reasons.join("; ")}: ${control} stays` };
}
