/** Experiments in a terminal: a table, one event, and one experiment with what its arms are worth, how far the evidence is, and what is
 * missing; of a decided one what would flip it. */
import type { ExperimentDetail, ExperimentEventView, ExperimentView } from "@tributary/api";
import {
  type ArmComparison,
  type ArmEvidence,
  comparisonWords,
  type ExperimentEvidence,
  experimentChangeWords,
  experimentEvidenceOf,
  flipWords,
  verdictWords,
} from "@tributary/rollouts/experiment";
import { ago, type Output, type Style, short, type View } from "../output.ts";
import { packageWords } from "../rollouts/tree.ts";

type Mark = { readonly icon: string; readonly style: Style };

export const isEnded = ({ phase }: ExperimentView): boolean => phase === "Decided" || phase === "Stopped";

function markOf({ phase, verdict }: ExperimentView): Mark {
  if (phase === "Running") return { icon: "◌", style: "cyan" };
  if (phase === "Decided") return verdict === "hold" ? { icon: "॥", style: "yellow" } : { icon: "✔", style: "green" };
  return phase === "Stopped" ? { icon: "■", style: "dim" } : { icon: "⚠", style: "yellow" };
}

/** "Decided: adopt edge-heavy" */
export const phaseWords = ({ phase, verdict, winner }: ExperimentView): string =>
  verdict === null ? phase : `${phase}: ${[verdict, winner].filter((word) => word !== null).join(" ")}`;

export const experimentView = (now: number): View<ExperimentView> => ({
  name: (experiment) => experiment.uid,
  columns: [
    { head: "NAME", of: (e) => e.name },
    { head: "PHASE", of: (e) => `${markOf(e).icon} ${phaseWords(e)}` },
    { head: "MODEL", of: (e) => packageWords(e.model) },
    { head: "TARGET", of: (e) => e.cloudTarget },
    { head: "DEVICES", of: (e) => e.devices },
    { head: "REVIEW", of: (e) => (e.review?.isDue ? "due" : e.reviewAt) },
    { head: "AGE", of: (e) => ago(e.createdAt, now) },
    { head: "UID", of: (e) => e.uid, wide: true },
    { head: "ROLLOUT", of: (e) => e.rollout, wide: true },
    { head: "MESSAGE", of: (e) => e.message, wide: true },
  ],
});

export const experimentEventView = (uid: string): View<ExperimentEventView> => ({
  name: (event) => `${uid}/${event.version}`,
  columns: [
    { head: "VERSION", of: (e) => e.version },
    { head: "AT", of: (e) => e.at },
    { head: "BY", of: (e) => e.by },
    { head: "WHAT", of: (e) => experimentChangeWords(e as object as Parameters<typeof experimentChangeWords>[0]) },
  ],
});

/** `now` null: times instead of ages, so that an unchanged experiment gives the same text. */
export function showExperiment(experiment: ExperimentDetail, output: Output, now: number | null): void {
  const evidence = experimentEvidenceOf(experiment.evidence);
  const { icon, style } = markOf(experiment);
  const at = (time: string) => (now === null ? time : `${time}, ${ago(time, now)} ago`);
  const { rollout, review, message } = experiment;
  output.pairs([
    ["Experiment", experiment.name],
    ["UID", experiment.uid],
    ["Status", output.style(style, `${icon} ${phaseWords(experiment)}`)],
    ["Verdict", verdictOf(experiment, evidence)],
    ...(message === "" ? [] : [["Why", message] as const]),
    ["Model", `${packageWords(experiment.model)}, cloud target ${experiment.cloudTarget}`],
    ["Devices", experiment.devices],
    ["Started", at(experiment.createdAt)],
    ...(isEnded(experiment) ? [["Ended", at(experiment.changedAt)] as const] : []),
    ...(evidence === null ? [] : [["Worth", worthWords(evidence)] as const]),
    ...(rollout === null ? [] : [["Rollout", `tributary rollout status ${rollout}`] as const]),
    ...(review === null ? [] : [["Review", output.style(review.isDue ? "yellow" : "dim", review.why)] as const]),
  ]);
  output.line();
  if (evidence === null) output.line("Nothing was measured yet.");
  else showEvidence(evidence, output);
}

function verdictOf({ phase, verdict, winner }: ExperimentDetail, evidence: ExperimentEvidence | null): string | null {
  if (phase === "Unknown" || verdict === "unknown") return null; // of a later version
  return verdictWords({ phase, verdict, winner }, evidence);
}

function showEvidence(evidence: ExperimentEvidence, output: Output): void {
  const { arms, currency, sampleRatio } = evidence;
  output.list(arms, armView(currency), "");
  const compared = arms.flatMap(({ name, comparison }) => (comparison === null ? [] : [{ name, ...comparison }]));
  if (compared.length > 0) {
    output.line();
    output.line(output.style("bold", "Evidence, as ln e of what a verdict needs"));
    output.list(compared, evidenceView(evidence.logNeeded), "");
  }
  output.line();
  for (const arm of arms.slice(1)) output.line(`${arm.name}: ${comparisonWords(arm, evidence)}.`);
  for (const one of compared) {
    const flips = flipWords(one, evidence);
    if (flips.length > 0)
      output.line(`What would flip it: ${one.name} is worth as much as ${arms[0]?.name} ${flips.join(", or ")}.`);
  }
  const warnings = [
    ...(sampleRatio.isMismatch
      ? [
          `Sample-ratio mismatch (ln e ${number(sampleRatio.log)}, alarm at ${number(sampleRatio.logNeeded)}): devices of some arms report more often than those of others, so no verdict is taken. Find out why devices are silent.`,
        ]
      : []),
    ...arms.flatMap(({ name, elsewhere }) =>
      elsewhere.length === 0 ? [] : [`Frames of ${name} name another arm or another policy: ${elsewhere.join(", ")}.`],
    ),
  ];
  for (const warning of warnings) output.line(output.style("yellow", `Warning: ${warning}`));
}

function armView(currency: string): View<ArmEvidence> {
  return {
    name: ({ name }) => name,
    columns: [
      { head: "ARM", of: ({ name }) => name },
      { head: "POLICY", of: ({ policyVersion }) => short(policyVersion) },
      { head: "DEVICES", of: ({ devices }) => devices },
      { head: "ON POLICY", of: ({ onPolicy }) => onPolicy },
      { head: "REPORTING", of: ({ reporting }) => reporting },
      { head: "FRAMES", of: ({ frames }) => Math.round(frames.escalated) },
      { head: "LABELLED", of: ({ frames }) => Math.round(frames.correct) },
      { head: "ACCURACY", of: ({ rates }) => percent(rates.correct) },
      { head: "ESCALATED", of: ({ rates }) => percent(rates.escalated) },
      { head: "LATE", of: ({ rates }) => percent(rates.late) },
      { head: "P50", of: ({ latency }) => latency && `${latency.p50Ms.toFixed(0)} ms`, wide: true },
      { head: "P99", of: ({ latency }) => latency && `${latency.p99Ms.toFixed(0)} ms` },
      { head: "CALLS FOR 1000", of: ({ callCostPer1000 }) => callCostPer1000, wide: true },
      { head: `WORTH OF 1000 (${currency})`, of: ({ utility }) => (utility === null ? null : per1000(utility)) },
      { head: "MORE THAN THE CONTROL", of: ({ comparison }) => comparison && gainWords(comparison) },
    ],
  };
}

type Compared = ArmComparison & { readonly name: string };

/** How far each question is. */
function evidenceView(needed: number): View<Compared> {
  const of = (log: number) => `${number(Math.max(0, log))} of ${number(needed)}`;
  return {
    name: ({ name }) => name,
    columns: [
      { head: "ARM", of: ({ name }) => name },
      { head: "VERDICT", of: ({ verdict, because }) => (because === null ? verdict : `${verdict}, by ${because}`) },
      { head: "WORTH MORE", of: ({ logs }) => of(logs.better) },
      { head: "LATE WITHIN MARGIN", of: ({ logs }) => of(logs.lateWithin) },
      { head: "WORTH LESS", of: ({ logs }) => of(logs.worse) },
      { head: "LATE BEYOND MARGIN", of: ({ logs }) => of(logs.lateBeyond) },
      { head: "THE SAME", of: ({ logs }) => of(logs.same) },
    ],
  };
}

function worthWords({ weights, rope, lateMargin, currency }: ExperimentEvidence): string {
  const { correct, escalated, late } = weights;
  const margin = `late share may rise by less than ${(100 * lateMargin).toFixed(2)} points`;
  return `a right answer ${correct} ${currency}, a call ${-escalated}, a late answer ${-late}; the same within ${rope}; ${margin}`;
}

function gainWords({ gain: { estimate, band } }: ArmComparison): string {
  const bounds = band === null ? "no bound yet" : `${per1000(band.lower)} to ${per1000(band.upper)}`;
  return `${per1000(estimate)} (${bounds})`;
}

const percent = (share: number | null): string | null => share === null ? null : `${(100 * share).toFixed(1)} %`; // biome-ignore format: one line
const per1000 = (value: number): string => (1_000 * value).toFixed(2);
const number = (value: number): string => value.toFixed(1);
