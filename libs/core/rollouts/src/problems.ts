/** Reads a specification, and lists every problem with its path and what to write instead. A caller that has the text finds the
 * line by the path. */
import type { z } from "zod";
import { problemsOfMetrics } from "./metric-problems.ts";
import { nearest } from "./nearest.ts";
import { problemsOfSteps, type RolloutSpec, rolloutSpec } from "./spec.ts";

export type SpecPath = readonly (string | number)[];
export type SpecProblem = {
  readonly path: SpecPath;
  readonly message: string;
  /** Whether it is about the name of the field, not about its value. */
  readonly isName?: true;
};

const PROBLEMS_MAX = 50;

export type ReadSpec<Spec = RolloutSpec> =
  | { readonly spec: Spec; readonly problems: readonly [] }
  | { readonly spec: null; readonly problems: readonly SpecProblem[] };

export const readSpec = (written: unknown): ReadSpec =>
  readAs(rolloutSpec, (spec) => [...problemsOfSteps(spec), ...problemsOfMetrics(spec)], written);

/** `more`: problems of a specification that parses and cannot work. */
export function readAs<Spec>(
  schema: z.ZodType<Spec>,
  more: (spec: Spec) => readonly SpecProblem[],
  written: unknown,
): ReadSpec<Spec> {
  const read = schema.safeParse(written);
  if (!read.success) {
    const problems = read.error.issues.flatMap((issue) => problemsOf(issue, written, [], schema));
    return { spec: null, problems: problems.slice(0, PROBLEMS_MAX) };
  }
  const problems = more(read.data).slice(0, PROBLEMS_MAX);
  return problems.length > 0 ? { spec: null, problems } : { spec: read.data, problems: [] };
}

/** `spec.strategy.canary.steps[2].setWeight` */
export const pathText = (path: SpecPath): string =>
  path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    return text === "" ? key : `${text}.${key}`;
  }, "") || "(the whole file)";

type Issue = z.core.$ZodIssue;

function problemsOf(issue: Issue, written: unknown, prefix: SpecPath, schema: z.ZodType): SpecProblem[] {
  const path = [...prefix, ...issue.path.map((key) => (typeof key === "symbol" ? String(key) : key))];
  const value = at(written, path);
  const one = (message: string): SpecProblem[] => [{ path, message }];
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.slice(0, PROBLEMS_MAX).map((key) => ({
        path: [...path, key],
        message: unknownField(key, fieldsAt(path, schema)),
        isName: true,
      }));
    case "invalid_union":
      return stepProblems(issue, written, path, schema);
    case "invalid_type": {
      if (value === undefined) return one(`is missing; ${expected(issue.expected)}`);
      if (value === null && path.at(-1) === "pause")
        return one("is empty; write pause: {} to wait until someone resumes");
      return one(`${shown(value)} is no ${issue.expected}; ${expected(issue.expected)}`);
    }
    case "invalid_value": {
      const choices = issue.values.map(String);
      if (value === undefined) return one(`is missing; write ${listed(choices)}`);
      const near = typeof value === "string" ? nearest(value, choices) : undefined;
      return one(`${shown(value)} is not known; write ${near ?? listed(choices)}`);
    }
    case "too_big":
      return one(`${shown(value)} is too ${issue.origin === "number" ? "much" : "long"}; at most ${issue.maximum}`);
    case "too_small":
      return one(
        issue.origin === "number"
          ? `${shown(value)} is too little; ${issue.inclusive ? "at least" : "above"} ${issue.minimum}`
          : `is too short; at least ${issue.minimum}`,
      );
    default:
      return one(`${shown(value)}: ${issue.message}`);
  }
}

/** A step is one of three kinds, named by its one field. */
function stepProblems(
  issue: Extract<Issue, { code: "invalid_union" }>,
  written: unknown,
  path: SpecPath,
  schema: z.ZodType,
): SpecProblem[] {
  const value = at(written, path);
  const [kind, ...more] = isObject(value) ? Object.keys(value) : [];
  const kinds = Object.keys(stepFields);
  if (kind === undefined) return [{ path, message: `${shown(value)} is no step; write one of ${kinds.join(", ")}` }];
  const foreign = [kind, ...more].filter((key) => !kinds.includes(key));
  if (foreign.length > 0)
    return foreign.map((key) => ({ path: [...path, key], message: unknownField(key, kinds), isName: true }));
  if (more.length > 0)
    return [{ path, message: `${kind} and ${more.join(", ")} are steps of their own; give each its own "-"` }];
  const meant = issue.errors[kinds.indexOf(kind)] ?? [];
  return meant.flatMap((inner) => problemsOf(inner, written, path, schema));
}

/** In the order of the specification's union. */
const stepFields: Readonly<Record<string, readonly string[]>> = {
  setWeight: [],
  pause: ["duration"],
  analysis: ["duration"],
};

type Definition = {
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly innerType?: z.ZodType;
  readonly element?: z.ZodType;
};

/** The fields that the specification knows at a path. */
function fieldsAt(path: SpecPath, schema: z.ZodType): readonly string[] {
  let definition: Definition = definitionOf(schema);
  for (const key of path) {
    const step = stepFields[String(key)];
    if (definition.shape === undefined && definition.element === undefined && step !== undefined) return step;
    const next = definition.shape?.[String(key)] ?? definition.element;
    if (next === undefined) continue; // a union: its kinds follow
    definition = definitionOf(next);
  }
  return Object.keys(definition.shape ?? {});
}

function definitionOf(schema: z.ZodType): Definition {
  let definition = schema.def as Definition;
  while (definition.innerType !== undefined) definition = definition.innerType.def as Definition;
  return definition;
}

function unknownField(key: string, known: readonly string[]): string {
  const near = nearest(key, known);
  if (near !== undefined) return `unknown field; did you mean ${near}?`;
  return known.length === 0 ? "unknown field; nothing can stand here" : `unknown field; known are ${known.join(", ")}`;
}

const expected = (type: string): string =>
  ({
    object: "write fields below it",
    array: 'write a list, each line with a "-"',
    number: "write a number without quotes or unit",
    string: "write a text",
    boolean: "write true or false",
  })[type] ?? `write a ${type}`;

const listed = (choices: readonly string[]): string =>
  choices.length < 2 ? choices.join("") : `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`;

function shown(value: unknown): string {
  const text = typeof value === "string" ? `"${value}"` : (JSON.stringify(value) ?? "nothing");
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

const at = (value: unknown, path: SpecPath): unknown =>
  path.reduce<unknown>((inner, key) => (isObject(inner) ? inner[key] : undefined), value);

const isObject = (value: unknown): value is Readonly<Record<string | number, unknown>> =>
  typeof value === "object" && value !== null;
