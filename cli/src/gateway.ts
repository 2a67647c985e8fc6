/** The APIs of the gateway, the model registry, the frame archive and the trainer, for commands. Every failure becomes a CliError
 * with advice. */
import {
  type ApiFailure,
  type Client,
  clientOf,
  frameArchiveApi,
  type GatewayClient,
  modelRegistryApi,
  publicApi,
  type Resources,
  trainerApi,
} from "@tributary/api";
import { CliError, type ExitCode, exitCodes } from "./exit-codes.ts";

type ServiceOptions = {
  readonly url: string;
  readonly token?: string | undefined;
  readonly waiting?: Waiting;
};
/** Shows that an answer takes long. */
export type Waiting = <T>(what: string, answer: Promise<T>) => Promise<T>;

type Address = {
  readonly origin: string;
  /** The URL of a path of the service, to open in a browser. */
  readonly urlOf: (path: string) => string;
};
export type Gateway = GatewayClient & Address;
export type ModelRegistry = Client<typeof modelRegistryApi> & Address;
export type FrameArchive = Client<typeof frameArchiveApi> & Address;
type Trainer = Client<typeof trainerApi> & Address;

/** Its name in messages. */
type Service = {
  readonly name: string;
  readonly option: string;
  readonly variable: string;
  readonly token: string;
  /** Of one call. */
  readonly timeoutMs: number;
};
const GATEWAY: Service = {
  name: "gateway",
  option: "--gateway",
  variable: "TRIBUTARY_GATEWAY",
  token: "--token or set TRIBUTARY_TOKEN",
  timeoutMs: 30_000,
};
const MODEL_REGISTRY: Service = {
  name: "model registry",
  option: "--registry",
  variable: "TRIBUTARY_MODEL_REGISTRY",
  token: "--registry-token or set TRIBUTARY_MODEL_REGISTRY_TOKEN",
  timeoutMs: 900_000, // It validates a package before it answers.
};
const FRAME_ARCHIVE: Service = {
  name: "frame archive",
  option: "--archive",
  variable: "TRIBUTARY_FRAME_ARCHIVE",
  token: "--archive-token or set TRIBUTARY_FRAME_ARCHIVE_TOKEN",
  timeoutMs: 30_000,
};
const TRAINER: Service = {
  name: "trainer",
  option: "--trainer",
  variable: "TRIBUTARY_TRAINER",
  token: "--trainer-token or set TRIBUTARY_TRAINER_TOKEN",
  timeoutMs: 900_000, // It decodes every photo of a base set before it answers.
};

export const gatewayAt = (options: ServiceOptions): Gateway => serviceAt(publicApi, GATEWAY, options);
export const modelRegistryAt = (options: ServiceOptions): ModelRegistry =>
  serviceAt(modelRegistryApi, MODEL_REGISTRY, options);
export const frameArchiveAt = (options: ServiceOptions): FrameArchive =>
  serviceAt(frameArchiveApi, FRAME_ARCHIVE, options);

export const trainerAt = (options: ServiceOptions): Trainer => serviceAt(trainerApi, TRAINER, options);

/** The service rejected the request; `retry` if it may accept the same later. */
export class GatewayRefusal extends CliError {
  readonly code: string;
  readonly retry: boolean;
  /** All of the problem details. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor({ status, code, advice, detail, problem }: ApiFailure) {
    super(exitCodeOf(status), `${detail} (${code})`);
    this.name = "GatewayRefusal";
    this.code = code;
    this.retry = advice === "retry";
    this.details = problem;
  }
}

function serviceAt<Api extends Resources>(api: Api, service: Service, options: ServiceOptions): Client<Api> & Address {
  const { url, token, waiting } = options;
  const base = URL.parse(url);
  if (base === null || !/^https?:$/.test(base.protocol)) {
    throw new CliError(exitCodes.usage, `${service.option}: "${url}" is not an http:// or https:// URL.`);
  }
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  const { origin } = base;
  const client = clientOf(api, {
    url,
    token,
    timeoutMs: service.timeoutMs,
    ...(waiting && { during: (answer) => waiting(`waiting for ${origin}`, answer) }),
    errorOf: (failure) => cliErrorOf(failure, service, origin),
  });
  return { ...client, origin, urlOf: (path) => new URL(path.replace(/^\/+/, ""), base).href };
}

function cliErrorOf(failure: ApiFailure, service: Service, origin: string): CliError {
  const { name, option, variable, token } = service;
  const { code, status, detail } = failure;
  const unreachable = (message: string) => new CliError(exitCodes.unreachable, message, { cause: failure });
  switch (code) {
    case "api-unreachable":
      return unreachable(
        `The ${name} at ${origin} cannot be reached: ${detail}. Is it running? Check ${option} or ${variable}.`,
      );
    case "api-closing":
      return unreachable(`The ${name} is shutting down.`);
    case "api-stream-ended":
      return unreachable(`${origin} closed the connection. Try again.`);
    case "api-response-invalid":
      return new CliError(exitCodes.failed, `${origin} is not a Tributary ${name}: ${detail}. Check ${option}.`);
    default:
      return status === 401
        ? new CliError(exitCodes.failed, `The ${name} requires a token: give ${token}.`)
        : new GatewayRefusal(failure);
  }
}

function exitCodeOf(status: number | null): ExitCode {
  if (status === 404) return exitCodes.notFound;
  return status === 400 ? exitCodes.usage : exitCodes.failed;
}
