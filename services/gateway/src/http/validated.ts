/** What a request says, parsed once and refused by name. */
import { Failure, type FrameId, parseFrameId } from "@tributary/kernel";
import { Problem, validated as validatedBy } from "@tributary/service-kit";
import type { z } from "zod";

export const validated = <S extends z.ZodType>(schema: S, value: unknown, place: "query" | "body"): z.output<S> =>
  validatedBy(schema, value, place, "/api/v1/openapi.json");

export function frameIdOf(text: string): FrameId {
  try {
    return parseFrameId(text);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Problem(400, error.code, error.advice, error.message);
  }
}
