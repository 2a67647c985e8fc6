/** The one place where a service's failed requests get their answer: problem details, whatever was thrown (E1). */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from "@nestjs/common";
import { Failure, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import {
  httpFailed,
  httpRefused,
  PROBLEM_MEDIA_TYPE,
  Problem,
  pathOf,
  peerOf,
  respond,
} from "@tributary/telemetry/http";

@Catch()
export class ProblemFilter implements ExceptionFilter {
  readonly #telemetry: Telemetry;

  constructor(telemetry: Telemetry) {
    this.#telemetry = telemetry;
  }

  catch(error: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<IncomingMessage>();
    const response = host.switchToHttp().getResponse<ServerResponse>();
    const method = request.method ?? "";
    const path = pathOf(request);
    const { details, headers } = problemOf(error, method, path);
    const { status, code, detail } = details;
    if (status === 500) this.#telemetry.emit(httpFailed, { method, path, reason: reasonOf(error) });
    else
      this.#telemetry.emit(httpRefused, {
        code,
        status,
        method,
        path,
        peer: peerOf(request),
        detail: detail.slice(0, 500),
      });
    respond(response, status, PROBLEM_MEDIA_TYPE, details, headers);
  }
}

function problemOf(error: unknown, method: string, path: string): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof Failure) {
    if (error.advice === "retry") {
      return new Problem(503, error.code, "retry", error.message, { headers: { "Retry-After": "1" }, cause: error });
    }
    return new Problem(422, error.code, error.advice, error.message, { cause: error });
  }
  const status = error instanceof HttpException ? error.getStatus() : (error as { status?: unknown } | null)?.status;
  switch (status) {
    case 404:
      return new Problem(404, "path-unknown", "give-up", `There is no ${method} ${path}.`);
    case 400:
      return new Problem(400, "request-malformed", "give-up", `The request cannot be read: ${reasonOf(error)}.`);
    case 413:
      return new Problem(413, "request-too-large", "give-up", "The request's body is too large.");
    default:
      return new Problem(500, "internal", "retry", "Something unexpected failed here; the service's log has it.");
  }
}
