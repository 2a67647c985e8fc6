/** What is wrong with a specification, each with its path: whoever has the text finds the line. */
import { Failure } from "@tributary/kernel";
import { problemsOfSteps, type RolloutSpec, rolloutSpec } from "@tributary/rollouts";
import type { z } from "zod";

export type SpecPath = readonly (string | number)[];
export type SpecProblem = { readonly path: SpecPath; readonly message: string };

export class SpecRefused extends Failure {
  readonly problems: readonly SpecProblem[];

  constructor(problems: readonly SpecProblem[], code = "rollout-spec-invalid") {
    const detail = problems.map(({ path, message }) => `${textOf(path)}: ${message}`).join("; ");
    super(code, "ask-a-person", detail.slice(0, 2_000));
    this.problems = problems;
  }
}

const PROBLEMS_MAX = 50;

/** Throws SpecRefused, naming everything that is wrong. */
export function specOf(written: unknown): RolloutSpec {
  const read = rolloutSpec.safeParse(written);
  if (!read.success) throw new SpecRefused(read.error.issues.flatMap(problemsOf).slice(0, PROBLEMS_MAX));
  const problems = problemsOfSteps(read.data);
  if (problems.length > 0) throw new SpecRefused(problems);
  return read.data;
}

/** `spec.strategy.canary.steps[2].setWeight` */
export const textOf = (path: SpecPath): string =>
  path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    return text === "" ? key : `${text}.${key}`;
  }, "") || "(document)";

function problemsOf(issue: z.core.$ZodIssue): readonly SpecProblem[] {
  const path = issue.path.map((key) => (typeof key === "symbol" ? String(key) : key));
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({ path: [...path, key], message: `unknown field${knownFields(path)}` }));
  }
  if (issue.code !== "invalid_union") return [{ path, message: issue.message }];
  const isStep = path.at(-2) === "steps";
  if (!isStep) return [{ path, message: issue.message }];
  // Of the three kinds of steps the one that was meant is the one whose name is there, and its value wrong.
  const inner = issue.errors.flatMap((issues) => issues.filter((one) => one.path.length > 0));
  const meant = inner.find((one) => one.code !== "invalid_type" || one.path.length > 1);
  if (meant === undefined)
    return [{ path, message: "expected one of setWeight, pause {duration}, analysis {duration}" }];
  return problemsOf({ ...meant, path: [...issue.path, ...meant.path] });
}

const FIELDS: Readonly<Record<string, string>> = {
  "(document)": "apiVersion, kind, metadata, spec",
  metadata: "name",
  spec: "model, slot, selector, strategy, metrics, crashes, burnIn, progressDeadline, pacing, abortConfig, when",
  "spec.selector": "hardwareClasses, sites, devices",
  "spec.strategy": "canary",
  "spec.strategy.canary": "steps, controlsPerCanary",
  "spec.crashes": "alpha",
  "spec.pacing": "devicesPerMinute",
  "spec.abortConfig": "onInconclusive, onNoData",
};

function knownFields(path: SpecPath): string {
  const fields = path.at(-2) === "metrics" ? "name, alpha, beta, tolerated, margin" : FIELDS[textOf(path)];
  return fields === undefined ? "" : `; known are ${fields}`;
}
