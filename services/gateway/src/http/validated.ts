/** Validation of a request's query or body, parsed once; a refusal names every invalid field. */
import { Failure, type FrameId, parseFrameId } from "@tributary/kernel";
import { Problem, Validated } from "@tributary/service-kit";
import type { z } from "zod";

/** The pipe of a query or a body. */
export const Valid = <S extends z.ZodType>(schema: S): Validated<S> => new Validated(schema, "/api/v1/openapi.json");

export function frameIdOf(text: string): FrameId {
  try {
    return parseFrameId(text);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Problem(400, error.code, error.advice, error.message);
  }
}
