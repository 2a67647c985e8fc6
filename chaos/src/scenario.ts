/** What every chaos program is: a running stack, something broken on purpose, and a verdict by who counted the frames. */
import type { Report } from "@tributary/local-stack";

export type Settings = {
  readonly devices: number;
  readonly fps: number;
  /** How long frames are shown, in seconds. */
  readonly seconds: number;
  /** Where the stack lives: data, logs, ledgers. */
  readonly dir: string;
  readonly say: (line: string) => void;
};

export type Check = { readonly name: string; readonly passed: boolean; readonly found: string };

export type Outcome = {
  readonly title: string;
  readonly checks: readonly Check[];
  readonly figures: { readonly [name: string]: number | null };
  readonly report: Report;
};

export type Scenario = {
  readonly name: string;
  readonly summary: string;
  readonly details: string;
  /** Short runs fit CI; long ones are for a soak. */
  readonly settings: { readonly short: Durations; readonly long: Durations };
  run(settings: Settings): Promise<readonly Outcome[]>;
};
export type Durations = Pick<Settings, "devices" | "fps" | "seconds">;

export const check = (name: string, passed: boolean, found: string | number): Check => ({
  name,
  passed,
  found: `${found}`,
});

export const passedAll = (outcomes: readonly Outcome[]): boolean =>
  outcomes.every(({ checks }) => checks.every(({ passed }) => passed));

export function markdownOf(outcomes: readonly Outcome[]): string {
  const lines: string[] = [];
  for (const { title, checks, figures } of outcomes) {
    lines.push(`## ${title}`, "", "| Check | | Found |", "|---|---|---|");
    for (const { name, passed, found } of checks)
      lines.push(`| ${name} | ${passed ? "holds" : "**FAILS**"} | ${found} |`);
    lines.push("", "| Figure | |", "|---|---:|");
    for (const [name, value] of Object.entries(figures)) lines.push(`| ${name} | ${value ?? "-"} |`);
    lines.push("");
  }
  return lines.join("\n");
}
