import Table from "cli-table3";
import type { Quantiles, Report } from "./account.ts";

export type Summary = Report & {
  readonly setupSeconds: number;
  readonly restarts: number;
  /** Proportional set size of every process of the stack, at its largest. */
  readonly memoryMbMax: number;
};

export function summaryOf(report: Summary): string {
  const table = new Table({ style: { head: [], border: [] } });
  const percent = (share: number | null) => (share === null ? "-" : `${(share * 100).toFixed(2)} %`);
  const latency = ({ p50, p99 }: Quantiles) => `${p50 ?? "-"} / ${p99 ?? "-"} ms`;
  const counts = (by: { readonly [name: string]: number }) =>
    Object.entries(by)
      .map(([name, n]) => `${n} ${name.toLowerCase().replaceAll("_", " ")}`)
      .join(", ");
  table.push(
    { frames: `${report.frames} of ${report.devices} devices` },
    { "lost, answered twice": `${report.lost}, ${report.duplicates}` },
    {
      "accuracy edge, cloud, hybrid": [report.accuracy.edge, report.accuracy.cloud, report.accuracy.hybrid]
        .map(percent)
        .join(", "),
    },
    { sent: `${report.sent} (${percent(report.sentShare)}): ${counts(report.escalated)}` },
    { "settled by": counts(report.settledBy) },
    { "cloud's share of sent": percent(report.cloudShareOfSent) },
    { "bytes sent, if all were": `${report.bytes.sent}, ${report.bytes.ifAllSent}` },
    { "edge answer p50 / p99": latency(report.latencyMs.edge) },
    { "kept, to Kafka": latency(report.latencyMs.kept) },
    { "sent, to Kafka": latency(report.latencyMs.sent) },
    { "cost per 1000 frames": report.costPerThousandFrames },
    { "set-up": `${report.setupSeconds} s` },
    { "memory at most": `${report.memoryMbMax} MB` },
  );
  if (report.uncommitted > 0) table.push({ "stopped in flight": report.uncommitted });
  if (report.unreadable > 0) table.push({ "unreadable records": report.unreadable });
  if (report.restarts > 0) table.push({ restarts: report.restarts });
  return table.toString();
}
