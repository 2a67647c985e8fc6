/** Requests are parsed once, here; an unknown query parameter or body field is refused by name. */
import { Failure, type FrameId, parseFrameId } from "@tributary/kernel";
import type { z } from "zod";
import { Problem } from "./problem.ts";

export function validated<S extends z.ZodType>(schema: S, value: unknown, place: "query" | "body"): z.output<S> {
  const result = schema.safeParse(value ?? {});
  if (result.success) return result.data;
  const errors = result.error.issues.flatMap((issue) => {
    const where = [place, ...issue.path.map(String)].join(".");
    if (issue.code !== "unrecognized_keys") return [{ where, message: issue.message }];
    return issue.keys.map((key) => ({ where: `${where}.${key}`, message: "unknown" }));
  });
  const detail = errors.map((error) => `${error.where}: ${error.message}`).join("; ");
  throw new Problem(400, "request-invalid", "give-up", `${detail}. See /api/v1/openapi.json.`, { errors });
}

export function frameIdOf(text: string): FrameId {
  try {
    return parseFrameId(text);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Problem(400, error.code, error.advice, error.message);
  }
}
