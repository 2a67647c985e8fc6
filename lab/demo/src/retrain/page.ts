/** The results of `demo -- retrain` as text. */
import { tableOf } from "@tributary/stack";
import { percent, points } from "./findings.ts";
import type { Figures } from "./judge.ts";
import type { RetrainReport } from "./run.ts";

/** What a person needs for one label, seconds: an assumption, for the printed cost. */
const LABEL_SECONDS = 4;

export function retrainTextOf(report: RetrainReport): string {
  const { steps, checks, queue, run, controls, figures, gains, page, seconds } = report;
  const minutes = (labels: number) => Math.round((labels * LABEL_SECONDS) / 60);
  const others = controls.map(({ name, figures: own }) => rowOf(name, own));
  const columns = ["trained", "site before", "site after", "regained", "elsewhere, points", "95 % bound"];
  return [
    tableOf(
      ["step", "seconds"],
      steps.map(({ name, seconds: own }) => [name, String(own)]),
    ),
    tableOf(columns, [rowOf("by people's labels", figures), rowOf("nothing: one gain per channel", gains), ...others]),
    classTable(figures),
    tableOf(
      ["", "check", "found"],
      checks.map(({ name, holds, found }) => [holds ? "holds" : "FAILS", name, found]),
    ),
    `Labels: ${queue.labels} through the label queue in ${Math.round(queue.seconds)} s; for a person about ${minutes(queue.labels)} minutes, at ${LABEL_SECONDS} s a label, an assumption. The training could use ${run.labelsHave}.`,
    `The main run took ${seconds} s.`,
    `Page: ${page}`,
    "",
  ].join("\n");
}

const rowOf = (name: string, { site, elsewhere, regained, costBound }: Figures): readonly string[] => [
  name,
  percent(site.before),
  percent(site.after),
  percent(regained),
  points(elsewhere.after - elsewhere.before),
  points(-costBound),
];

function classTable({ site, elsewhere }: Figures): string {
  const cells = ({ before, after } = { before: 0, after: 0 }) => `${percent(before)} to ${percent(after)}`;
  return tableOf(
    ["class", "site", "elsewhere"],
    Object.keys(site.classes).map((name) => [name, cells(site.classes[name]), cells(elsewhere.classes[name])]),
  );
}
