/**
 * One logged frame as a line of JSON: what `router simulate --export` writes and `--from` reads.
 *
 * An invalid line is an error with its number and the fault; nothing is guessed.
 */
import { reasonOf } from "@tributary/kernel";
import { z } from "zod";

const right = z.number().min(0).max(1);

export const loggedLineSchema = z.strictObject({
  frameId: z.string(),
  /** When Kafka received its prediction, in ms since 1970; null in files of earlier versions. */
  at: z.number().nullable().default(null),
  modelDigest: z.string(),
  policyVersion: z.string(),
  arm: z.string(),
  /** The edge's answer. */
  label: z.string(),
  confidence: right,
  margin: right,
  entropy: z.number().min(0),
  /** pi, the propensity with which the random sample drew it, and whether it did. */
  propensity: z.number().positive().max(1),
  drawn: z.boolean(),
  reason: z.string(),
  /** The cloud's answer and its cost; null if there is none. */
  cloudLabel: z.string().nullable(),
  costMicros: z.number().nullable(),
  /** Of the final answer: what settled it, and its time from capture (of a kept frame, on the device); null if there is none. */
  settledBy: z.string().nullable().default(null),
  latencyMs: z.number().min(0).nullable().default(null),
  /** Ground truth; null if unknown. */
  truth: z.string().nullable(),
  /** As the device logged it; null if unknown. */
  context: z.string().nullable().default(null),
});

export type LoggedLine = z.output<typeof loggedLineSchema>;

/** Throws an Error that names line and fault. */
export function parseLine(text: string, number: number): LoggedLine {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new Error(`line ${number} is not JSON: ${reasonOf(error)}`);
  }
  const parsed = loggedLineSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join(".") || "line"}: ${issue.message}`);
  throw new Error(`line ${number}: ${faults.join("; ")}`);
}
