/** The results of `demo -- drift` as text. */
import { tableOf } from "@tributary/stack";
import type { DriftReport } from "./run.ts";

export function driftTextOf({ task, rows, checks, labels, seconds }: DriftReport): string {
  const columns = ["case", "expected", "seen", "devices", "after", "loss", "retrain"];
  const cells = rows.map(({ case: name, expected, seen, devices, afterSeconds, loss, isRetrain }) => [
    name,
    expected,
    seen,
    devices.join(" ") || "-",
    afterSeconds === null ? "-" : `${afterSeconds} s`,
    loss || "-",
    isRetrain === null ? "-" : isRetrain ? "yes" : "no",
  ]);
  return [
    `\n## ${task}\n`,
    tableOf(columns, cells),
    ...rows.flatMap(({ case: name, summary }) => (summary === "" ? [] : `${name}: ${summary}`)),
    "",
    tableOf(
      ["", "check", "found"],
      checks.map(({ name, holds, found }) => [holds ? "holds" : "FAILS", name, found]),
    ),
    `Labels: ${labels.labelled} of ${labels.seen} drawn frames. It took ${seconds} s.`,
    ...rows.flatMap(({ page }) => (page === null ? [] : `Page: ${page}`)),
    "",
  ].join("\n");
}
