import type { Part } from "./part.ts";

/** What a process of the stack serves to Prometheus, as text. */
export async function metricsOf({ ports }: Pick<Part, "ports">): Promise<string> {
  const url = `http://127.0.0.1:${ports.metrics ?? ports.http}/metrics`;
  return (await fetch(url, { signal: AbortSignal.timeout(20_000) })).text();
}

/** The numbers of such a text by series, e.g. `x_total{code="y"}`. */
export function seriesOf(text: string): ReadonlyMap<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.split(" ").at(-1))]));
}
