/** What the demo must show, against what was found. Pure. */
import type { ArmEvidence } from "@tributary/rollouts/experiment";
import { gridMultiples } from "@tributary/rollouts/experiment";
import type { Check } from "../rollout/run-case.ts";
import { type Case, cases } from "./cases.ts";
import type { ExperimentReport, Result } from "./run.ts";
import { settings } from "./settings.ts";

/** What the sample models have on clear photos. */
const ACCURACY = { edge: 0.86, cloud: 0.93 } as const;
const ACCURACY_SLACK = 0.03;
const LABELLED_MIN = 1_000;
/** A 99th percentile within the deadline allows so many late answers. */
const LATE_MAX = 0.01;

export type Found = Pick<ExperimentReport, "measured" | "results" | "rollout">;

export const percent = (share: number | null): string => (share === null ? "-" : `${(100 * share).toFixed(1)} %`);

export function checksOf(found: Found): readonly Check[] {
  return [
    ...measuredChecks(found),
    ...slaChecks(found),
    ...cases.map((one) => verdictCheck(one, found)),
    ...recordChecks(found),
    ...adoptionChecks(found),
  ];
}

const resultOf = ({ results }: Found, name: string): Result | undefined => results.find((one) => one.case === name);
const armsOf = (found: Found, name: string): readonly ArmEvidence[] => resultOf(found, name)?.evidence?.arms ?? [];

function measuredChecks({ measured }: Found): readonly Check[] {
  const { edge, cloud, labelled, near, far } = measured;
  const isNear = (accuracy: number, usual: number) => Math.abs(accuracy - usual) <= ACCURACY_SLACK;
  return [
    {
      name: `edge about ${percent(ACCURACY.edge)} right, cloud about ${percent(ACCURACY.cloud)}, on at least ${LABELLED_MIN} labelled frames`,
      holds: isNear(edge, ACCURACY.edge) && isNear(cloud, ACCURACY.cloud) && labelled >= LABELLED_MIN,
      found: `${percent(edge)}, ${percent(cloud)}, on ${labelled}`,
    },
    {
      name: `answers take at least ${0.75 * settings.addedMs} ms more when the cloud is ${settings.addedMs} ms farther away`,
      holds: far.medianMs - near.medianMs >= 0.75 * settings.addedMs,
      found: `median ${near.medianMs.toFixed(0)} to ${far.medianMs.toFixed(0)} ms`,
    },
    {
      name: "and more of them are late",
      holds: far.lateShare > near.lateShare,
      found: `${percent(near.lateShare)} to ${percent(far.lateShare)}`,
    },
  ];
}

function slaChecks(found: Found): readonly Check[] {
  const [control, arm] = armsOf(found, "sla");
  const late = control?.rates.late ?? null;
  const sent = control?.rates.escalated ?? null;
  const lateOfSent = late === null || sent === null ? null : late / sent;
  const rise = arm?.comparison?.lanes.late.estimate ?? null;
  return [
    {
      name: `sla: hybrid breaks the SLA: more than ${percent(LATE_MAX)} of its answers are late, and not all that it asked for`,
      holds: late !== null && late > LATE_MAX && lateOfSent !== null && lateOfSent < 0.9,
      found: `${percent(late)} late, ${percent(lateOfSent)} of those that it sent`,
    },
    {
      name: `sla: hybrid is late more often than edge-heavy by more than the margin`,
      holds: rise !== null && -rise > (resultOf(found, "sla")?.evidence?.lateMargin ?? 1),
      found: rise === null ? "not compared" : `${(-100 * rise).toFixed(1)} points`,
    },
  ];
}

function verdictCheck({ name, arm, ending }: Case, found: Found): Check {
  const result = resultOf(found, name);
  const { verdict = null, winner = null, message = "", phase = "not started" } = result ?? {};
  const isMeant = verdict === ending && winner === (ending === "adopt" ? arm : null);
  // Late answers cost nothing there, so that they rise is no reason.
  const isReason = ending !== "reject" || armsOf(found, name)[1]?.comparison?.because === "utility";
  return {
    name: `${name}: ${ending}${ending === "adopt" ? ` ${arm}` : ""}`,
    holds: phase === "Decided" && isMeant && isReason,
    found: `${[verdict ?? phase, winner].filter((word) => word !== null).join(" ")}: ${message}`,
  };
}

function recordChecks(found: Found): readonly Check[] {
  const { results } = found;
  const comparison = armsOf(found, "sla")[1]?.comparison ?? null;
  const cell = (late: (typeof gridMultiples)[number]) =>
    comparison?.grid?.[gridMultiples.indexOf(1)]?.[gridMultiples.indexOf(late)];
  const [free, asWritten] = [cell(0), cell(1)];
  const flip = comparison?.flipsAt?.late ?? null;
  const words = ({ for: whom, isClear }: NonNullable<typeof free>) =>
    `${whom === "arm" ? "edge-heavy" : "hybrid"}${isClear ? "" : ", not clearly"}`;
  return [
    {
      name: "sla: its record says that edge-heavy is worth more at this cost of a late answer, and not if that is 0",
      holds:
        asWritten?.for === "arm" && asWritten.isClear && free !== undefined && !(free.for === "arm" && free.isClear),
      found:
        free === undefined || asWritten === undefined
          ? "no grid"
          : `${words(asWritten)}; at 0 ${words(free)}; it flips at ${flip === null ? "no cost" : `${flip.toFixed(4)} EUR`}`,
    },
    {
      name: "each decision has a record with its grid, and a page",
      holds:
        results.length === cases.length &&
        results.every(({ evidence, files }) => files.length === 2 && evidence?.arms[1]?.comparison?.grid != null),
      found: `${results.filter(({ files }) => files.length === 2).length} of ${cases.length}`,
    },
  ];
}

function adoptionChecks({ results, rollout }: Found): readonly Check[] {
  const named = results.find(({ case: name }) => name === "sla");
  return [
    {
      name: "sla: the adopted policy is rolled out, and each device of its canary decides by it",
      holds:
        rollout !== null && rollout.slot === "policy" && rollout.canarySeconds !== null && named?.phase === "Decided",
      found:
        rollout === null
          ? "no rollout"
          : rollout.canarySeconds === null
            ? `${rollout.updated} of ${rollout.reached} devices: ${rollout.message}`
            : `${rollout.canary} devices ${rollout.canarySeconds} s after the verdict`,
    },
  ];
}
