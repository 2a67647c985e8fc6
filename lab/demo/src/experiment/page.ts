/** What `demo -- experiment` prints. */
import type { ArmEvidence } from "@tributary/rollouts/experiment";
import { tableOf } from "@tributary/stack";
import { cases } from "./cases.ts";
import { percent } from "./findings.ts";
import { latencyWords } from "./measure.ts";
import type { AdoptedRollout, ExperimentReport, Result } from "./run.ts";

export function experimentTextOf({ measured, results, rollout, labels, checks, seconds }: ExperimentReport): string {
  const columns = [
    "case",
    "arm",
    "devices",
    "labelled",
    "right",
    "escalated",
    "late",
    "p50 ms",
    "p99 ms",
    "worth of 1,000, EUR",
    "more than the control",
  ];
  return [
    ...results.map(({ status }) => status.trimEnd().concat("\n")),
    tableOf(columns, results.flatMap(armRows)),
    tableOf(["case", "a late answer costs", "must end", "verdict", "after", "it flips at"], results.map(verdictRow)),
    tableOf(
      ["", "check", "found"],
      checks.map(({ name, holds, found }) => [holds ? "holds" : "FAILS", name, found]),
    ),
    `SLA: ${measured.deadlineMs} ms. Near: ${latencyWords(measured.near)}; far: ${latencyWords(measured.far)}.`,
    rolloutLine(rollout),
    `Labels: ${labels.labelled} of ${labels.seen} drawn frames. It took ${seconds} s.`,
    "Real: photos, labels, both models, services, messages, policies. Simulated: the people who label, KServe (a stub of it), and the longer network.",
    ...results.flatMap(({ files: [page, record] }) => [`Page: ${page}`, `Record: ${record}`]),
    "",
  ].join("\n");
}

const armRows = ({ case: name, evidence }: Result): readonly (readonly string[])[] =>
  (evidence?.arms ?? []).map((arm) => [name, arm.name, ...armCells(arm)]);

function armCells({ devices, frames, rates, latency, utility, comparison }: ArmEvidence): readonly string[] {
  const gain = comparison?.gain;
  const per1000 = (value: number) => (1_000 * value).toFixed(2);
  return [
    String(devices),
    String(Math.round(frames.correct)),
    ...[rates.correct, rates.escalated, rates.late].map(percent),
    ...[latency?.p50Ms, latency?.p99Ms].map((ms) => ms?.toFixed(0) ?? "-"),
    utility === null ? "-" : per1000(utility),
    gain === undefined
      ? "-"
      : [per1000(gain.estimate), gain.band && `(${per1000(gain.band.lower)} to ${per1000(gain.band.upper)})`].join(" "),
  ];
}

function verdictRow({ case: name, phase, verdict, winner, seconds, evidence }: Result): readonly string[] {
  const { late = 0, ending = "" } = cases.find((one) => one.name === name) ?? {};
  const flip = evidence?.arms[1]?.comparison?.flipsAt?.late ?? null;
  return [
    name,
    `${late} EUR`,
    ending,
    [verdict ?? phase, winner].filter((word) => word !== null).join(" "),
    `${seconds} s`,
    flip === null ? "-" : `${flip.toFixed(4)} EUR`,
  ];
}

function rolloutLine(rollout: AdoptedRollout | null): string {
  if (rollout === null) return "No rollout of an adopted policy.";
  const { uid, canary, canarySeconds, endedSeconds, phase, updated, reached, message } = rollout;
  const first =
    canarySeconds === null ? "its canary is not there yet" : `${canary} devices of its canary after ${canarySeconds} s`;
  const last = endedSeconds === null ? `then ${phase}` : `${phase} after ${endedSeconds} s`;
  return `Rollout ${uid}: ${first}, ${last}, ${updated} of ${reached} devices; ${message}`;
}
