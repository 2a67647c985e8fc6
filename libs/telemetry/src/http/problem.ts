/**
 * What a client gets when something fails: RFC 9457 problem details with a stable `code` and what to do next.
 *
 * A client never sees a stack trace or the text of an unexpected error. */
import type { FailureAdvice } from "@tributary/kernel";

export type ProblemDetails = {
  /** urn:tributary:problem:CODE */
  type: string;
  title: string;
  status: number;
  code: string;
  detail: string;
  advice: FailureAdvice;
  errors?: { where: string; message: string }[] | undefined;
  [extension: string]: unknown;
};

const titles: Readonly<Record<number, string>> = {
  400: "Bad request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not found",
  405: "Method not allowed",
  408: "Request timeout",
  409: "Conflict",
  413: "Content too large",
  415: "Unsupported media type",
  416: "Range not satisfiable",
  422: "Unprocessable content",
  429: "Too many requests",
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
      /** Members that a kind of problem adds (RFC 9457 3.2). */
      readonly extensions?: Readonly<Record<string, unknown>> | undefined;
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
      ...more.extensions,
    };
    this.headers = more.headers ?? {};
  }
}
