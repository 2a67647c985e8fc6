/** A bench measures, reports its figures beside those of an alternative, and checks them by gates. */

/** What only one bench knows, by the flag's name. */
export type BenchFlags = {
  readonly peers?: true;
  readonly flush?: true;
  readonly only?: string;
  readonly beside?: true;
  readonly tasks?: string;
  readonly quick?: true;
  readonly minutes?: string;
  readonly realtime?: true;
};

export type BenchOptions = {
  /** The thorough run; otherwise one that a pull request can wait for. */
  readonly isLong: boolean;
  readonly flags: BenchFlags;
  /** Prints a line of progress. */
  readonly progress: (line: string) => void;
};

export type Gate = {
  /** What must hold, with its bound: "p50 at most 1.3 x the baseline". */
  readonly name: string;
  readonly passed: boolean;
  readonly measured: string;
};

export type Table = {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
};

export type BenchReport = {
  readonly tables: readonly Table[];
  readonly gates: readonly Gate[];
  /** Everything measured, for `--json`. */
  readonly figures: unknown;
  /** Sentences that belong under the tables. */
  readonly notes?: readonly string[];
  /** A picture, for `--svg`. */
  readonly svg?: string;
};

export interface Bench {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** Shown by `--help`: what is compared with what, and the gates. */
  readonly details: string;
  run(options: BenchOptions): Promise<BenchReport>;
}

/** The report as people read it on a terminal and paste it into a pull request. */
export function markdownOf(bench: Bench, report: BenchReport): string {
  const gates: Table = {
    title: "Gates",
    columns: ["gate", "measured", ""],
    rows: report.gates.map(({ name, measured, passed }) => [name, measured, passed ? "passed" : "FAILED"]),
  };
  const parts = [`## bench ${bench.name}`, ...report.tables.map(tableOf), ...(report.notes ?? []), tableOf(gates)];
  return `${parts.join("\n\n")}\n`;
}

function tableOf({ title, columns, rows }: Table): string {
  const cells = [columns, ...rows].map((row) => row.map(String));
  const widths = columns.map((_, i) => Math.max(3, ...cells.map((row) => row[i]?.length ?? 0)));
  const isNumeric = columns.map((_, i) => rows.length > 0 && rows.every((row) => /^[-+≤≥]?[\d.,]+/.test(`${row[i]}`)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, i) => (isNumeric[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0))).join(" | ")} |`;
  const rule = `|${widths.map((width, i) => `${"-".repeat(width + 1)}${isNumeric[i] ? ":" : "-"}`).join("|")}|`;
  const [head, ...body] = cells;
  return [`### ${title}`, "", line(head ?? []), rule, ...body.map(line)].join("\n");
}
