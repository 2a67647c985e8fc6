/** Chaos programs: they run a system, break a part of it on purpose, and check the result from outside.
 *
 * A scenario breaks a running stack, and the verifier checks its frames. A drill has its own setup and options. */
import type { Report } from "@tributary/stack";

export type Settings = {
  readonly devices: number;
  readonly fps: number;
  /** How long frames are shown, in seconds. */
  readonly seconds: number;
  /** The stack's folder: data, logs, ledgers. */
  readonly dir: string;
  readonly log: (line: string) => void;
};

export type Check = { readonly name: string; readonly passed: boolean; readonly found: string };

/** What a report is made of. */
export type Findings = {
  readonly title: string;
  readonly checks: readonly Check[];
  readonly figures: { readonly [name: string]: number | null };
};

export type Outcome = Findings & { readonly report: Report };

export type Scenario = {
  readonly name: string;
  readonly summary: string;
  readonly details: string;
  /** Short runs fit CI; long ones are for a soak. */
  readonly settings: { readonly short: Durations; readonly long: Durations };
  run(settings: Settings): Promise<readonly Outcome[]>;
};

/** `--NAME <N>`, a whole number from 1. A value of 0 stands for an option that is not given. */
export type DrillOption = { readonly name: string; readonly about: string; readonly value: number };

/** `--NAME A,B`: some of them; default: all. */
export type DrillChoice = { readonly name: string; readonly about: string; readonly among: readonly string[] };

/** `--NAME`. */
export type DrillFlag = { readonly name: string; readonly about: string };

export type Drill = {
  readonly name: string;
  readonly summary: string;
  readonly details: string;
  readonly options: readonly DrillOption[];
  readonly choices?: readonly DrillChoice[];
  readonly flags?: readonly DrillFlag[];
  run(settings: DrillSettings): Promise<readonly Findings[]>;
};

export type DrillSettings = Pick<Settings, "dir" | "log"> & {
  readonly options: { readonly [name: string]: number };
  readonly choices?: { readonly [name: string]: readonly string[] };
  readonly flags?: { readonly [name: string]: boolean };
};

export type Durations = Pick<Settings, "devices" | "fps" | "seconds">;

export const check = (name: string, passed: boolean, found: string | number): Check => ({
  name,
  passed,
  found: `${found}`,
});

export const passedAll = (outcomes: readonly Findings[]): boolean =>
  outcomes.every(({ checks }) => checks.every(({ passed }) => passed));

export function markdownOf(outcomes: readonly Findings[]): string {
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
