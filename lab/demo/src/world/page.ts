/** What `demo -- world` prints. */
import { tableOf } from "@tributary/stack";
import type { WorldReport } from "./run.ts";

export function worldTextOf({ rows, checks, statuses, seconds }: WorldReport): string {
  const cells = rows.map(({ table, gate, ended, ran, parked, driving, frames, reverted, devices }) =>
    [table, gate, ended, ran, parked, driving, frames, reverted, devices].map(String),
  );
  return [
    ...statuses.map((status) => status.trimEnd()),
    "",
    tableOf(
      ["table", "gate", "ended", "ever ran", "applied parked", "applied driving", "frames", "reverted", "at the end"],
      cells,
    ),
    tableOf(
      ["", "check", "found"],
      checks.map(({ name, holds, found }) => [holds ? "holds" : "FAILS", name, found]),
    ),
    "Real: photos, models, cloud answers, services, messages. Simulated: places, the classes at each, and parking.",
    `It took ${seconds} s.`,
    "",
  ].join("\n");
}
