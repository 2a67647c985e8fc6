/** Symbols of wire enums that people choose from. UNKNOWN is for readers of newer writers; nobody asks for it. */
import type { AnswerSource, GroundTruthSource, SettledBy } from "./generated/index.ts";

export const ANSWER_SOURCES = ["EDGE", "CLOUD"] as const satisfies readonly AnswerSource[];

export const SETTLED_BY = [
  "KEPT",
  "CLOUD_ANSWER",
  "DEADLINE",
  "DEADLINE_UNREACHABLE",
  "FLEET_BUDGET",
  "CLOUD_UNHEALTHY",
  "CLOUD_FAILED",
  "FRAME_REFUSED",
  "DEVICE_DROPPED",
] as const satisfies readonly SettledBy[];

export const GROUND_TRUTH_SOURCES = ["PERSON", "IMPORT", "MEASUREMENT"] as const satisfies readonly GroundTruthSource[];

/** Does not compile while a list lacks a symbol of its enum. */
type Complete<All extends string, Listed extends All> = [Exclude<All, Listed | "UNKNOWN">] extends [never]
  ? true
  : never;
const complete: [
  Complete<AnswerSource, (typeof ANSWER_SOURCES)[number]>,
  Complete<SettledBy, (typeof SETTLED_BY)[number]>,
  Complete<GroundTruthSource, (typeof GROUND_TRUTH_SOURCES)[number]>,
] = [true, true, true];
void complete;
