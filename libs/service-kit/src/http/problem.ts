/**
 * What a client is told when something fails: RFC 9457 problem details with a stable `code` and what to do next.
 *
 * E1. A client never sees a stack trace or the text of an unexpected error.
 */
import type { FailureAdvice } from "@tributary/kernel";
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
export type ProblemDetails = z.output<typeof problemSchema>;

const titles: Readonly<Record<number, string>> = {
  400: "Bad request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not found",
  405: "Method not allowed",
  409: "Conflict",
  413: "Content too large",
  416: "Range not satisfiable",
  422: "Unprocessable content",
  500: "Internal error",
  501: "Not implemented",
  502: "Bad gateway",
  503: "Unavailable",
};

export class Problem extends Error {
  readonly details: ProblemDetails;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    advice: FailureAdvice,
    detail: string,
    more: {
      readonly errors?: ProblemDetails["errors"];
      readonly headers?: Readonly<Record<string, string>>;
      readonly cause?: unknown;
    } = {},
  ) {
    super(detail, { cause: more.cause });
    this.name = "Problem";
    this.details = {
      type: `urn:tributary:problem:${code}`,
      title: titles[status] ?? "Error",
      status,
      code,
      detail,
      advice,
      ...(more.errors && { errors: more.errors }),
    };
    this.headers = more.headers ?? {};
  }
}
