/** Of a run, for people: a table of containers, what the verifier counted, and what did not hold. */
import type { Outcome } from "./play.ts";

export type BuiltImage = { readonly target: string; readonly seconds: number; readonly bytes: number };

export function reportOf(name: string, outcome: Outcome, images: readonly BuiltImage[]): string {
  const { rows, frames, lost, duplicates, cloudAnswers, problems } = outcome;
  const built = images.map(({ target, seconds, bytes }) => [target, seconds.toFixed(1), (bytes / 1e6).toFixed(0)]);
  const ran = rows.map((row) => [
    row.name,
    row.readySeconds?.toFixed(1) ?? "never",
    String(row.restarts),
    row.memoryMiB === null ? "" : String(row.memoryMiB),
  ]);
  const sections = [
    `# containers ${name}\n`,
    ...(built.length > 0 ? [tableOf(["image", "seconds to build", "MB"], built)] : []),
    tableOf(["container", "ready after s", "restarts", "MiB"], ran),
    `${frames} frames of devices outside: ${lost} lost, ${duplicates} answered twice, ${cloudAnswers} answers of the cloud\n`,
    ...problems.map((problem) => `**does not hold**: ${problem}\n`),
    `${problems.length === 0 ? "all holds" : `${problems.length} problems`}\n`,
  ];
  return `${sections.join("\n")}`;
}

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |\n`;
  return `${line(head)}${line(head.map(() => "---"))}${rows.map(line).join("")}`;
}
