import Table from "cli-table3";
import type { Accuracy, Quantiles, Report } from "./account.ts";

export type Summary = Report & {
  /** Name and version. */
  readonly models: { readonly edge: string; readonly cloud: string };
  /** Since the start; null: none arrived. */
  readonly firstAnswerSeconds: number | null;
  readonly setupSeconds: number;
  readonly restarts: number;
  /** Proportional set size of every process of the stack, at its largest. */
  readonly memoryMbMax: number;
  /** Devices beside the agents; their frames are not among the others. */
  readonly light: { readonly devices: number; readonly answers: number } | null;
  /** Frames of the random sample that this program labelled, as people would. */
  readonly labels: { readonly sampled: number; readonly labelled: number } | null;
};

export function summaryOf(report: Summary): string {
  const table = new Table({ style: { head: [], border: [] } });
  const percent = (share: number | null) => (share === null ? "-" : `${(share * 100).toFixed(2)} %`);
  const latency = ({ p50, p99 }: Quantiles) => `${p50 ?? "-"} / ${p99 ?? "-"} ms`;
  const counts = (by: { readonly [name: string]: number }) =>
    Object.entries(by)
      .map(([name, n]) => `${n} ${name.toLowerCase().replaceAll("_", " ")}`)
      .join(", ");
  const { accuracy, light, labels, models } = report;
  table.push(
    { "models edge, cloud": `${models.edge}, ${models.cloud}` },
    { frames: `${report.frames} of ${report.devices} devices` },
    { "lost, answered twice": `${report.lost}, ${report.duplicates}` },
  );
  if (accuracy === null) table.push({ accuracy: "unknown: no labels" });
  else {
    const { edge, hybrid, onCloudAnswers } = accuracy;
    table.push({ "accuracy of edge alone": accuracyText(edge) }, { "accuracy of final answers": accuracyText(hybrid) });
    if (onCloudAnswers !== null)
      table.push(
        { "where the cloud answered: edge": accuracyText(onCloudAnswers.edge) },
        { "where the cloud answered: cloud": accuracyText(onCloudAnswers.cloud) },
      );
  }
  table.push(
    { sent: `${report.sent} (${percent(report.sentShare)}): ${counts(report.escalated)}` },
    { "settled by": counts(report.settledBy) },
    { "cloud's share of sent": percent(report.cloudShareOfSent) },
    { "cloud agrees with edge": `${percent(report.agreementShare)} of ${report.cloudAnswers} cloud answers` },
    { "bytes sent, if all frames were": `${report.bytes.sent}, ${report.bytes.ifAllSent ?? "unknown"}` },
    { "edge answer p50 / p99": latency(report.latencyMs.edge) },
    { "kept, to Kafka": latency(report.latencyMs.kept) },
    { "sent, to Kafka": latency(report.latencyMs.sent) },
    { "cost per 1000 frames": report.costPerThousandFrames },
    { "first final answer": report.firstAnswerSeconds === null ? "none" : `${report.firstAnswerSeconds} s` },
    { "set-up": `${report.setupSeconds} s` },
    { "memory at most": `${report.memoryMbMax} MB` },
  );
  if (light !== null) table.push({ "light devices": `${light.devices}, with ${light.answers} more final answers` });
  if (labels !== null) table.push({ "random sample": `${labels.sampled} frames, ${labels.labelled} labelled so far` });
  if (report.uncommitted > 0) table.push({ "stopped in flight": report.uncommitted });
  if (report.unreadable > 0) table.push({ "unreadable records": report.unreadable });
  if (report.restarts > 0) table.push({ restarts: report.restarts });
  return table.toString();
}

function accuracyText({ share, lower, upper, frames, photos }: Accuracy): string {
  const percent = (value: number) => (value * 100).toFixed(1);
  const of = photos === frames ? `${frames} frames` : `${frames} frames of ${photos} photos`;
  return `${percent(share)} % (95 % interval ${percent(lower)} to ${percent(upper)}), ${of}`;
}
