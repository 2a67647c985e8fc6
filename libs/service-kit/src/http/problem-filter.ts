/** Answers every failed request of any service with problem details, whatever was thrown (E1). */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from "@nestjs/common";
import { Failure, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import {
  type DoorPolicy,
  httpFailed,
  httpRefused,
  PROBLEM_MEDIA_TYPE,
  Problem,
  pathOf,
  peerOf,
  respond,
} from "@tributary/telemetry/http";

export type ProblemFilterOptions = {
  /** A service's own mapping of a failure; undefined: the common one. */
  readonly problemOf?: (failure: Failure) => Problem | undefined;
  /** As the door's: on a path whose clients read no problem details. */
  readonly refusalOf?: DoorPolicy["refusalOf"];
};

@Catch()
export class ProblemFilter implements ExceptionFilter {
  readonly #telemetry: Telemetry;
  readonly #options: ProblemFilterOptions;

  constructor(telemetry: Telemetry, options: ProblemFilterOptions = {}) {
    this.#telemetry = telemetry;
    this.#options = options;
  }

  catch(error: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<IncomingMessage>();
    const response = host.switchToHttp().getResponse<ServerResponse>();
    const method = request.method ?? "";
    const path = pathOf(request);
    const { details, headers } = this.#problemOf(error, method, path);
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
    const refusal = this.#options.refusalOf?.(path, details) ?? { mediaType: PROBLEM_MEDIA_TYPE, body: details };
    respond(response, status, refusal.mediaType, refusal.body, headers);
  }

  #problemOf(error: unknown, method: string, path: string): Problem {
    if (error instanceof Problem) return error;
    if (error instanceof Failure) return this.#options.problemOf?.(error) ?? problemOfFailure(error);
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
}

/** The one mapping of failures to statuses: a failure that a retry may cure is 503, any other 422. */
function problemOfFailure(failure: Failure): Problem {
  const { code, advice, message } = failure;
  if (advice !== "retry") return new Problem(422, code, advice, message, { cause: failure });
  return new Problem(503, code, advice, message, { headers: { "Retry-After": "1" }, cause: failure });
}
