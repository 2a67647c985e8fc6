/** Requests are parsed once, here; an unknown query parameter or body field is refused by name. */
import type { z } from "zod";
import { Problem } from "./problem.ts";

/** `see`: where a client finds how to do it right. */
export function validated<S extends z.ZodType>(
  schema: S,
  value: unknown,
  place: "query" | "body",
  see = "",
): z.output<S> {
  const result = schema.safeParse(value ?? {});
  if (result.success) return result.data;
  const errors = result.error.issues.flatMap((issue) => {
    const where = [place, ...issue.path.map(String)].join(".");
    if (issue.code !== "unrecognized_keys") return [{ where, message: issue.message }];
    return issue.keys.map((key) => ({ where: `${where}.${key}`, message: "unknown" }));
  });
  const detail = errors.map((error) => `${error.where}: ${error.message}`).join("; ");
  throw new Problem(400, "request-invalid", "give-up", `${detail}.${see === "" ? "" : ` See ${see}.`}`, { errors });
}
