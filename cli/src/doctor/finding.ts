/** The state of one dependency, and how to repair it. */
export type FindingState = "ok" | "warning" | "failed" | "skipped";

export type Finding = {
  readonly check: string;
  readonly state: FindingState;
  /** The state in words. */
  readonly detail: string;
  /** What to do; empty when nothing is. */
  readonly advice: string;
};

export const ok = (check: string, detail: string): Finding => ({ check, state: "ok", detail, advice: "" });
export const warning = (check: string, detail: string, advice: string): Finding => ({
  check,
  state: "warning",
  detail,
  advice,
});
export const failed = (check: string, detail: string, advice: string): Finding => ({
  check,
  state: "failed",
  detail,
  advice,
});
export const skipped = (check: string, detail: string, advice: string): Finding => ({
  check,
  state: "skipped",
  detail,
  advice,
});

const SHOWN = 5;

/** The first few, and how many more. */
export const some = (items: readonly string[]): string =>
  items.length <= SHOWN ? items.join(", ") : `${items.slice(0, SHOWN).join(", ")} and ${items.length - SHOWN} more`;
