/** What Step Functions and SageMaker share: how clients are made, and what their errors mean for a caller. */
import { httpUrl } from "@tributary/config";
import { Failure, reasonOf } from "@tributary/kernel";
import { z } from "zod";

/** Credentials come from the SDK's own chain: environment, shared files, container or instance role. */
export const awsKeys = {
  region: z.string().regex(/^[a-z0-9-]{1,40}$/, "expected a region, like eu-central-1"),
  /** Instead of the region's public address, e.g. a VPC endpoint. */
  endpointUrl: httpUrl.optional(),
};

/** The clients would write lines of their own beside our log; their errors are thrown. */
const SILENT = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };
const REQUEST_MS_MAX = 30_000;
const CONNECT_MS_MAX = 3_000;

export const awsOptions = (config: { readonly region: string; readonly endpointUrl?: string | undefined }) => ({
  region: config.region,
  ...(config.endpointUrl !== undefined && { endpoint: config.endpointUrl }),
  maxAttempts: 3,
  logger: SILENT,
  requestHandler: { connectionTimeout: CONNECT_MS_MAX, requestTimeout: REQUEST_MS_MAX },
  userAgentAppId: "tributary",
});

type AwsError = {
  readonly name?: string;
  readonly $fault?: string;
  readonly $retryable?: object;
  readonly $metadata?: { readonly httpStatusCode?: number };
};

export const isAwsError = (error: unknown, name: string): boolean => (error as AwsError | null)?.name === name;

/** Throws what a call of AWS' ended with: the service's failures are retried, refusals are a person's. */
export function awsFailure(what: string, error: unknown): never {
  const { name = "", $fault, $retryable, $metadata } = error as AwsError;
  const status = $metadata?.httpStatusCode;
  const isRefusal = $fault === "client" && $retryable === undefined && status !== 429 && !/Throttl/.test(name);
  const isWithoutCredentials = name === "CredentialsProviderError";
  const message = `${what}: ${name}: ${reasonOf(error)}`.slice(0, 500);
  if (isWithoutCredentials) throw new Failure("server-forbidden", "ask-a-person", message, { cause: error });
  throw new Failure(
    isRefusal ? "server-refused" : "server-unreachable",
    isRefusal ? "ask-a-person" : "retry",
    message,
    {
      cause: error,
    },
  );
}
