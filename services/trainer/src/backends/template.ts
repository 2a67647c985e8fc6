/**
 * Texts with `{{variables}}` of a job, in configured requests, arguments and environments.
 *
 * A value is put in as it is, or escaped for the place: in a URL by percent signs. In a JSON body a text that is `{{job}}` alone
 * becomes the object. Only the names below exist, so a typing error is found when the configuration is read.
 *
 * T1. What people and devices choose, as a slice's value, has only characters that mean nothing to a shell: a template may be one's
 *     argument, here or at the scheduler, alone or within `{{job}}`.
 * T2. No value adds a segment to a URL's path or takes one away: encodeURIComponent leaves `.` and `..` as they are. */
import { Failure } from "@tributary/kernel";
import { z } from "zod";
import { type JobOrder, jobNameOf } from "./job-order.ts";

/** `name` is the job's name at the backend, `job` the whole order as JSON, `jobFile` a file that holds it (command only). */
const ORDERED = [
  "name",
  "runId",
  "attempt",
  "model",
  "parentDigest",
  "dataset",
  "baseDataset",
  "slice",
  "seed",
  "parent",
  "datasets",
  "datasetMd5",
  "baseMd5",
  "results",
  "job",
  "jobText",
] as const;

/** Letters of any script: a site may be called Zürich-Süd. T1 */
const HARMLESS = /^[\p{L}\p{M}\p{N}][\p{L}\p{M}\p{N} ._=:/@+,-]*$/u;
const CHOSEN = ["slice", "model"] as const;
const DOTS = /^(\.|%2e){1,2}$/i;

export type Variables = ReadonlyMap<string, string>;

const PLACE = /\{\{([^{}]*)\}\}/g;

export function variablesOf(order: JobOrder): Variables {
  const { places, recipe: _, attempt, ...texts } = order;
  for (const name of CHOSEN) checkHarmless(name, texts[name]);
  const job = JSON.stringify(order);
  const name = jobNameOf(order.runId, attempt);
  const all = { ...texts, ...places, attempt: String(attempt), name, job, jobText: job };
  return new Map(ORDERED.map((each) => [each, all[each]]));
}

function checkHarmless(name: string, value: string): void {
  if (HARMLESS.test(value)) return;
  const message = `{{${name}}} is ${JSON.stringify(value)}, and a job's template takes letters, digits, spaces and ._=:/@+,- there, after a letter or digit: rename it, or train another slice`;
  throw new Failure("training-template-value-refused", "ask-a-person", message.slice(0, 1_000));
}

/** The URL of a request. T2 */
export function filledUrl(text: string, variables: Variables): string {
  const url = filled(text, variables, encodeURIComponent);
  const [path = ""] = url.split(/[?#]/);
  if (!path.split("/").some((segment) => DOTS.test(segment))) return url;
  const values = [...text.matchAll(PLACE)].map(
    ([place, name = ""]) => `${place} is ${JSON.stringify(variables.get(name))}`,
  );
  const message = `"${text}" would be another path: ${values.join(", ")}`;
  throw new Failure("training-template-value-refused", "ask-a-person", message.slice(0, 1_000));
}

export function filled(text: string, variables: Variables, inPlace = (value: string) => value): string {
  return text.replace(PLACE, (_, name: string) => {
    const value = variables.get(name);
    if (value !== undefined) return inPlace(value);
    throw new Failure("training-template-variable-unknown", "ask-a-person", `{{${name}}} has no value in "${text}"`);
  });
}

/** The same of every text in a JSON value; keys stay. */
export function filledJson(json: unknown, variables: Variables): unknown {
  if (json === "{{job}}") return JSON.parse(variables.get("job") ?? "null");
  if (typeof json === "string") return filled(json, variables);
  if (Array.isArray(json)) return json.map((each) => filledJson(each, variables));
  if (json === null || typeof json !== "object") return json;
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, filledJson(value, variables)]));
}

function problemOf(text: string, names: readonly string[]): string | undefined {
  const unknown = [...text.matchAll(PLACE)].map((found) => found[1] ?? "").find((name) => !names.includes(name));
  return unknown === undefined ? undefined : `there is no {{${unknown}}}: known are ${names.join(", ")}`;
}

const checked = (names: readonly string[]) =>
  z
    .string()
    .max(16_384)
    .check(({ value, issues }) => {
      const problem = problemOf(value, names);
      if (problem !== undefined) issues.push({ code: "custom", message: problem, input: value });
    });

/** A text of a request that starts a job. */
export const orderTemplate = checked(ORDERED);
export const commandTemplate = checked([...ORDERED, "jobFile"]);
/** A text of a request about a job that was started: it knows the job's id alone. */
export const jobTemplate = checked(["jobId"]);

export const bodyTemplate: z.ZodType<unknown> = z.json().check(({ value, issues }) => {
  const problem = problemOf(JSON.stringify(value), ORDERED);
  if (problem !== undefined) issues.push({ code: "custom", message: problem, input: value });
});
