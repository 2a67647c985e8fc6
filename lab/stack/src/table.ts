/** The live table: redrawn in place on a terminal, a line every few seconds elsewhere. */
import Table from "cli-table3";
import type { DeviceTally, Live } from "./live.ts";
import type { Stack } from "./stack.ts";

export type AgentView = {
  readonly model: string;
  readonly outbox: number;
  readonly edgeP50Ms: number | null;
  /** Pictures that no model could read, or that there was no place for: they have no number and no answer. */
  readonly unnumbered: number;
  /** Of its camera. */
  readonly pictures: number;
};
type ModelRef = { readonly name: string; readonly version: string };
const modelName = ({ name, version }: ModelRef): string => `${name} ${version}`;

/** An agent's status; undefined while it cannot be reached. */
export async function askAgent(url: string): Promise<AgentView | undefined> {
  const status = await ask<{
    model: ModelRef;
    outbox?: { frames?: number; predictions?: number };
    latencyMs?: { p50: number } | null;
    unreadable: number;
    unrecorded: number;
    cameras: readonly { readonly arrived: number }[];
  }>(url);
  return (
    status && {
      model: modelName(status.model),
      outbox: (status.outbox?.frames ?? 0) + (status.outbox?.predictions ?? 0),
      edgeP50Ms: status.latencyMs?.p50 ?? null,
      unnumbered: status.unreadable + status.unrecorded,
      pictures: status.cameras.reduce((sum, { arrived }) => sum + arrived, 0),
    }
  );
}

/** The models of a process of light devices, each as often as devices run it; empty while it cannot be asked. */
export async function askLightDevices(url: string): Promise<readonly string[]> {
  const status = await ask<{ devices: readonly { model: ModelRef }[] }>(url);
  return status?.devices.map(({ model }) => modelName(model)) ?? [];
}

async function ask<Status>(url: string): Promise<Status | undefined> {
  try {
    const response = await fetch(`${url}/v1/status`, { signal: AbortSignal.timeout(1_000) });
    return (await response.json()) as Status;
  } catch {
    return undefined;
  }
}

/** What is drawn. */
export type View = {
  readonly stack: Stack;
  readonly live: Live;
  readonly agents: ReadonlyMap<string, AgentView | undefined>;
  readonly lightModels: readonly string[];
};

const ms = (value: number | null | undefined): string =>
  value === null || value === undefined ? "-" : value.toFixed(0);
const reasonsOf = ({ queued }: DeviceTally): string =>
  Object.entries(queued)
    .map(([reason, n]) => `${n} ${reason.toLowerCase()}`)
    .join("\n");

const percent = (part: number, whole: number): string => (whole === 0 ? "-" : `${((100 * part) / whole).toFixed(0)} %`);

export function tableOf({ stack, live, agents, lightModels }: View): string {
  const head = [
    "device",
    "model",
    "frames",
    "kept",
    "sent",
    "why",
    "cloud\nanswers",
    "agree\nwith edge",
    "edge\nfinal",
    "final ms\np50 / p99",
    "edge\nms",
    "outbox",
  ];
  const table = new Table({ head, style: { head: [], border: [] } });
  const row = (device: string, model: string, tally: DeviceTally, view: AgentView | undefined) => {
    const { p50, p99 } = tally.sentLatencyMs;
    table.push([
      device,
      model,
      tally.frames,
      tally.kept,
      `${tally.sent} (${percent(tally.sent, tally.frames)})`,
      reasonsOf(tally),
      tally.cloud,
      percent(tally.agreed, tally.cloud),
      tally.edgeFinal,
      `${ms(p50)} / ${ms(p99)}`,
      view?.edgeP50Ms?.toFixed(1) ?? "-",
      view?.outbox ?? "-",
    ]);
  };
  for (const { deviceId } of stack.agents) {
    const view = agents.get(deviceId);
    row(deviceId, view?.model ?? "-", live.of(deviceId), view);
  }
  const light = lightIdsOf(stack);
  if (light.length > 0) row(`${light.length} light`, countsOf(lightModels), live.all(light), undefined);
  return table.toString();
}

export const lightIdsOf = (stack: Stack): string[] => stack.light.flatMap(({ deviceIds }) => deviceIds);
export const agentIdsOf = (stack: Stack): string[] => stack.agents.map(({ deviceId }) => deviceId);

/** `a 1.0.0: 20, a 1.1.0: 4`; the name alone where all are the same. */
function countsOf(names: readonly string[]): string {
  const counts = [...Map.groupBy(names, (name) => name)].map(([name, same]) => [name, same.length] as const);
  if (counts.length === 0) return "-";
  return counts.length === 1 ? `${counts[0]?.[0]}` : counts.map(([name, n]) => `${name}: ${n}`).join("\n");
}

export function lineOf({ stack, live, agents }: View, seconds: number): string {
  const sum = live.all([...agentIdsOf(stack), ...lightIdsOf(stack)]);
  const outbox = [...agents.values()].reduce((total, view) => total + (view?.outbox ?? 0), 0);
  // An answer may be read before the prediction that it is of.
  const frames = Math.max(sum.frames, sum.answered);
  return (
    `${String(Math.round(seconds)).padStart(5)} s  frames ${frames}  answered ${sum.answered}  kept ${sum.kept}  ` +
    `sent ${sum.sent}  cloud answers ${sum.cloud}  agree with edge ${percent(sum.agreed, sum.cloud)}  ` +
    `edge answer kept ${sum.edgeFinal}  outbox ${outbox}`
  );
}

export class Screen {
  #linesDrawn = 0;

  draw(text: string): void {
    this.#erase();
    process.stdout.write(`${text}\n`);
    // A terminal that is too narrow breaks lines.
    const columns = process.stdout.columns || Number.POSITIVE_INFINITY;
    this.#linesDrawn = text.split("\n").reduce((sum, { length }) => sum + Math.max(1, Math.ceil(length / columns)), 0);
  }

  /** A line that stays, above what is drawn next. */
  print(line: string): void {
    this.#erase();
    console.log(line);
  }

  #erase(): void {
    if (this.#linesDrawn > 0) process.stdout.write(`\u001b[${this.#linesDrawn}A\u001b[0J`);
    this.#linesDrawn = 0;
  }
}
