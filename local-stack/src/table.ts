/** The live table: redrawn in place on a terminal, a line every few seconds elsewhere. */
import Table from "cli-table3";
import type { DeviceTally, Live } from "./live.ts";
import type { Stack } from "./stack.ts";

export type AgentView = { readonly outbox: number; readonly edgeP50Ms: number | null };

/** What an agent says of itself; undefined while it cannot be asked. */
export async function askAgent(url: string): Promise<AgentView | undefined> {
  try {
    const response = await fetch(`${url}/v1/status`, { signal: AbortSignal.timeout(1_000) });
    const status = (await response.json()) as {
      outbox?: { frames?: number; predictions?: number };
      latencyMs?: { p50: number } | null;
    };
    return {
      outbox: (status.outbox?.frames ?? 0) + (status.outbox?.predictions ?? 0),
      edgeP50Ms: status.latencyMs?.p50 ?? null,
    };
  } catch {
    return undefined;
  }
}

const ms = (value: number | null | undefined): string =>
  value === null || value === undefined ? "-" : value.toFixed(0);
const reasonsOf = ({ queued }: DeviceTally): string =>
  Object.entries(queued)
    .map(([reason, n]) => `${n} ${reason.toLowerCase()}`)
    .join(", ");

export function tableOf(stack: Stack, live: Live, views: ReadonlyMap<string, AgentView | undefined>): string {
  const head = [
    "device",
    "frames",
    "kept",
    "sent",
    "why",
    "cloud",
    "edge stood",
    "final p50 / p99 ms",
    "edge ms",
    "outbox",
  ];
  const table = new Table({ head, style: { head: [], border: [] } });
  for (const { deviceId } of stack.agents) {
    const tally = live.of(deviceId);
    const view = views.get(deviceId);
    const { p50, p99 } = tally.sentLatencyMs;
    table.push([
      deviceId,
      tally.frames,
      tally.kept,
      tally.sent,
      reasonsOf(tally),
      tally.cloud,
      tally.stood,
      `${ms(p50)} / ${ms(p99)}`,
      view?.edgeP50Ms?.toFixed(1) ?? "-",
      view?.outbox ?? "-",
    ]);
  }
  return table.toString();
}

export function lineOf(live: Live, views: ReadonlyMap<string, AgentView | undefined>, seconds: number): string {
  const all = [...live.devices.values()];
  const sum = (of: (tally: DeviceTally) => number) => all.reduce((total, tally) => total + of(tally), 0);
  const outbox = [...views.values()].reduce((total, view) => total + (view?.outbox ?? 0), 0);
  return (
    `${String(Math.round(seconds)).padStart(5)} s  frames ${sum((t) => t.frames)}  answered ${sum((t) => t.answered)}  ` +
    `kept ${sum((t) => t.kept)}  sent ${sum((t) => t.sent)}  cloud ${sum((t) => t.cloud)}  ` +
    `edge stood ${sum((t) => t.stood)}  outbox ${outbox}`
  );
}

export class Screen {
  #linesDrawn = 0;

  draw(text: string): void {
    if (this.#linesDrawn > 0) process.stdout.write(`\u001b[${this.#linesDrawn}A\u001b[0J`);
    process.stdout.write(`${text}\n`);
    this.#linesDrawn = text.split("\n").length;
  }

  /** What follows is written below, not over. */
  release(): void {
    this.#linesDrawn = 0;
  }
}
