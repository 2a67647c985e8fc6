/** RFC 9457 problem details, as every service of Tributary answers what it refuses. */
import { z } from "zod";

export const problemSchema = z.object({
  type: z.string().describe("urn:tributary:problem:CODE"),
  title: z.string(),
  status: z.number().int(),
  code: z.string().describe("Stable; programs decide by it."),
  detail: z.string().describe("What failed, by name, and what to do."),
  advice: z.enum(["retry", "give-up", "ask-a-person"]),
  errors: z
    .array(z.object({ where: z.string(), message: z.string() }))
    .optional()
    .describe("Every wrong part of the request."),
});
