/** The results of `demo -- retrain` as text. */
import { tableOf } from "@tributary/stack";
import { percent, points } from "./findings.ts";
import type { ClassShares, Figures } from "./judge.ts";
import type { Kill } from "./kill-findings.ts";
import type { RetrainReport } from "./run.ts";

/** What a person needs for one label, seconds: an assumption, for the printed cost. */
const LABEL_SECONDS = 4;

export function retrainTextOf(report: RetrainReport): string {
  const { task, steps, checks, queue, run, controls, figures, gains, page, seconds, kills, readings } = report;
  const minutes = (labels: number) => Math.round((labels * LABEL_SECONDS) / 60);
  const others = controls.map(({ name, figures: own }) => rowOf(name, own));
  const columns = ["trained", "site before", "site after", "regained", "elsewhere, points", "95 % bound"];
  const free = gains === null ? [] : [rowOf("nothing: one gain per channel", gains)];
  return [
    `\n## ${task}\n`,
    tableOf(
      ["step", "seconds"],
      steps.map(({ name, seconds: own }) => [name, String(own)]),
    ),
    tableOf(columns, [rowOf("by people's labels", figures), ...free, ...others]),
    classTable(figures),
    tableOf(
      ["", "check", "found"],
      checks.map(({ name, holds, found }) => [holds ? "holds" : "FAILS", name, found]),
    ),
    ...kills.map(killLine),
    ...readings.flatMap(({ tool, skipped }) => (skipped === null ? [] : [`${tool} is left out: ${skipped}`])),
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

const killLine = ({ phase, readySeconds, wentOnSeconds }: Kill): string =>
  `The trainer was killed in ${phase}: ready again after ${readySeconds ?? "-"} s, went on after ${wentOnSeconds ?? "-"} s.`;

function classTable({ site, elsewhere }: Figures): string {
  const share = (before: number, after: number) => `${percent(before)} to ${percent(after)}`;
  const cells = (one: ClassShares | undefined) =>
    one === undefined
      ? ["", "", ""]
      : [`${one.frames}`, share(one.before, one.after), share(one.f1Before, one.f1After)];
  return tableOf(
    ["class", "site: photos", "recall", "F1", "elsewhere: photos", "recall", "F1"],
    Object.keys(site.classes).map((name) => [name, ...cells(site.classes[name]), ...cells(elsewhere.classes[name])]),
  );
}
