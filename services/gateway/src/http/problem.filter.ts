/** The one place where a failed request gets its answer (E1). Not the service kit's: refusals of other services are passed on in
 * their own words, and a failure here means that Kafka is away. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from "@nestjs/common";
import { Failure, reasonOf } from "@tributary/kernel";
import { RegistryError } from "@tributary/schema-registry";
import { PROBLEM_MEDIA_TYPE, Problem, pathOf, peerOf, respond } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { requestFailed, requestRefused } from "../events.ts";
import { PassedProblem } from "../forwarding/upstream.ts";
import { REGISTRY_MEDIA_TYPE, refusalOf } from "../registry/errors.ts";

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
    const peer = peerOf(request);
    if (error instanceof RegistryError) {
      const { code, status, errorCode, message } = error;
      this.#telemetry.emit(requestRefused, { code, status, method, path, peer });
      // Confluent's error body; its clients decide by `error_code`.
      respond(response, status, REGISTRY_MEDIA_TYPE, { error_code: errorCode, message });
      return;
    }
    if (error instanceof PassedProblem) {
      const { status, details } = error;
      this.#telemetry.emit(requestRefused, { code: details.code, status, method, path, peer });
      respond(response, status, PROBLEM_MEDIA_TYPE, details);
      return;
    }
    const problem = problemOf(error, method, path);
    const { status, code } = problem.details;
    if (status === 500) this.#telemetry.emit(requestFailed, { method, path, reason: reasonOf(error) });
    else this.#telemetry.emit(requestRefused, { code, status, method, path, peer });
    const told = refusalOf(path, problem.details) ?? { mediaType: PROBLEM_MEDIA_TYPE, body: problem.details };
    respond(response, status, told.mediaType, told.body, problem.headers);
  }
}

function problemOf(error: unknown, method: string, path: string): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof Failure && error.advice === "retry") {
    const more = { headers: { "Retry-After": "1" }, cause: error };
    return new Problem(503, "kafka-unavailable", "retry", "Kafka cannot be read right now. Try again.", more);
  }
  const status = error instanceof HttpException ? error.getStatus() : (error as { status?: unknown } | null)?.status;
  switch (status) {
    case 404:
      return new Problem(404, "path-unknown", "give-up", `No ${method} ${path}. See /api/v1/openapi.json.`);
    case 400:
      return new Problem(400, "request-malformed", "give-up", `The request cannot be read: ${reasonOf(error)}.`);
    case 413:
      return new Problem(413, "request-too-large", "give-up", "The request's body is too large.");
    default:
      return new Problem(500, "internal", "retry", "Something unexpected failed here; the gateway's log has it.");
  }
}
