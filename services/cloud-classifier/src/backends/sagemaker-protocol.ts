/**
 * Requests to SageMaker's InvokeEndpoint, and outcomes of its answers and errors. Pure.
 *
 * SageMaker strips unknown headers before the container sees a request, so the trace context is in the custom attributes:
 * `traceparent=…`. A valid answer has a row for each frame, of as many finite values as there are labels. Where a variant is
 * configured, only its answers are accepted.
 */
import type { InvokeEndpointCommandInput, InvokeEndpointCommandOutput } from "@aws-sdk/client-sagemaker-runtime";
import { retryAfterMs } from "@tributary/calls";
import { type Instant, reasonOf } from "@tributary/kernel";
import { calibrated } from "../calibrated.ts";
import { type CloudFrame, type CloudOutcome, traceparentOfBatch } from "../cloud-backend.ts";
import type { SagemakerConfig } from "./sagemaker-config.ts";
import { isObject, parseLooseJson } from "./serving-protocol.ts";

type Failed = Extract<CloudOutcome, { kind: "failed" }>;
type Refused = Extract<CloudOutcome, { kind: "refused" }>;

/** InferenceId's bound; longer frame ids do not fit. */
const INFERENCE_ID_MAX = 64;

export function invocationOf(config: SagemakerConfig, batch: readonly CloudFrame[]): InvokeEndpointCommandInput {
  const { endpoint, variant, inferenceComponent, targetModel, body, contentType, accept } = config;
  const traceparent = traceparentOfBatch(batch);
  const frameId = batch.length === 1 ? batch[0]?.frameId : undefined;
  return {
    EndpointName: endpoint,
    ContentType: contentType ?? (body === "jpeg" ? "image/jpeg" : "application/json"),
    Accept: accept,
    Body:
      body === "jpeg"
        ? (batch[0] as CloudFrame).jpeg
        : Buffer.from(JSON.stringify({ instances: batch.map(instanceOf) })),
    ...(traceparent && { CustomAttributes: `traceparent=${traceparent}` }),
    ...(frameId !== undefined && frameId.length <= INFERENCE_ID_MAX && { InferenceId: frameId }),
    ...(variant !== undefined && { TargetVariant: variant }),
    ...(inferenceComponent !== undefined && { InferenceComponentName: inferenceComponent }),
    ...(targetModel !== undefined && { TargetModel: targetModel }),
  };
}

const instanceOf = ({ jpeg }: CloudFrame) => ({
  b64: Buffer.from(jpeg.buffer, jpeg.byteOffset, jpeg.byteLength).toString("base64"),
});

export type Answering = Pick<SagemakerConfig, "answer" | "temperature" | "variant"> & {
  readonly labels: readonly string[];
};

export function outcomesOf(
  output: Pick<InvokeEndpointCommandOutput, "Body" | "InvokedProductionVariant">,
  count: number,
  how: Answering,
): readonly CloudOutcome[] {
  const { Body, InvokedProductionVariant: servedBy = null } = output;
  const all = (code: string, message: string) => Array.from({ length: count }, () => failed(code, message));
  if (how.variant !== undefined && servedBy !== null && servedBy !== how.variant) {
    return all("answer-variant-wrong", `"${servedBy}" answered instead of "${how.variant}"`);
  }
  let json: unknown;
  try {
    json = parseLooseJson(Buffer.from(Body ?? []));
  } catch {
    return all("answer-unreadable", "it is not JSON");
  }
  const { kind, field = DEFAULT_FIELDS[kind] } = how.answer;
  const found = field === null ? json : isObject(json) ? json[field] : undefined;
  if (!Array.isArray(found)) return all("answer-unreadable", field === null ? "it is no list" : `no list "${field}"`);
  // Containers leave the outer list away where there is one frame.
  const rows: readonly unknown[] = count === 1 && found.length > 0 && !Array.isArray(found[0]) ? [found] : found;
  if (rows.length !== count) return all("answer-shape-wrong", `${rows.length} rows for ${count} frames`);
  return rows.map((row) => {
    if (!Array.isArray(row)) return failed("answer-shape-wrong", "a row is no list");
    return kind === "labels" ? outcomeOfLabels(row, how, servedBy) : outcomeOfScores(row, kind, how, servedBy);
  });
}

const DEFAULT_FIELDS = { probabilities: "probabilities", logits: "logits", labels: null } as const;
/** Servers round, also to few digits. */
const SUM_ERROR_MAX = 0.02;

function outcomeOfScores(
  row: readonly unknown[],
  kind: "probabilities" | "logits",
  { labels, temperature }: Answering,
  servedBy: string | null,
): CloudOutcome {
  if (row.length !== labels.length) {
    return failed("answer-labels-wrong", `${row.length} values, ${labels.length} labels`);
  }
  const values = row.map((value) => (typeof value === "number" ? value : Number.NaN));
  const odd = values.findIndex((value) => !Number.isFinite(value));
  if (odd !== -1) return failed("answer-not-finite", `value ${odd} is no number`);
  if (kind === "probabilities") {
    const sum = values.reduce((total, value) => total + value, 0);
    const isOne = values.every((value) => value >= 0) && Math.abs(sum - 1) <= SUM_ERROR_MAX;
    if (!isOne) return failed("answer-not-probabilities", `they add up to ${sum}: are they logits?`);
  }
  const logits = kind === "logits" ? values : values.map(Math.log);
  const { labelIndex, confidence, margin } = calibrated(logits, temperature);
  return answered(labels[labelIndex] as string, confidence, margin, servedBy);
}

/** `{label, score}` objects, the best ones or all, as Hugging Face's containers return them. */
function outcomeOfLabels(row: readonly unknown[], { labels }: Answering, servedBy: string | null): CloudOutcome {
  const entries = row.map((entry) => (isObject(entry) ? entry : {}));
  const unknown = entries.find(({ label }) => !labels.includes(String(label)));
  if (unknown !== undefined) return failed("answer-labels-wrong", `"${unknown.label}" is none of the labels`);
  const scores = entries.map(({ score }) => (typeof score === "number" ? score : Number.NaN));
  const sum = scores.reduce((total, score) => total + score, 0);
  if (!Number.isFinite(sum)) return failed("answer-not-finite", "a score is no number");
  if (scores.length === 0) return failed("answer-shape-wrong", "a row is empty");
  if (scores.some((score) => score < 0) || sum > 1 + SUM_ERROR_MAX) {
    return failed("answer-not-probabilities", `they add up to ${sum}`);
  }
  const [best = 0, second] = [...scores].sort((a, b) => b - a);
  // Where only the best is returned, the second is at most the rest.
  const next = second ?? Math.min(best, Math.max(0, 1 - best));
  return answered(String(entries[scores.indexOf(best)]?.label), best, best - next, servedBy);
}

const answered = (label: string, confidence: number, margin: number, servedBy: string | null): CloudOutcome => ({
  kind: "answered",
  label,
  confidence: Math.min(1, confidence),
  margin,
  modelDigest: null,
  servedBy,
});

const failed = (code: string, message: string, again: Failed["again"] = false): Failed => ({
  kind: "failed",
  code,
  message,
  again,
});

/** The members of an SDK error that are evaluated. */
type SdkError = {
  readonly name?: string;
  readonly code?: string;
  readonly OriginalStatusCode?: number;
  readonly OriginalMessage?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly headers?: Readonly<Record<string, string>> };
};

/** The service's name for "too much", which is a 400. */
const THROTTLED = /Throttl|TooManyRequests|RequestLimitExceeded|SlowDown/;
const FORBIDDEN = /Credentials|AccessDenied|UnrecognizedClient|ExpiredToken|InvalidSignature|InvalidClientToken/;
/** What a container answers to a picture that it cannot use. */
const PICTURE_STATUSES = [400, 413, 415, 422];

export function outcomeOfError(error: unknown, frames: number, now: Instant): Failed | Refused {
  const { name = "", code: cause = "", $metadata, $response, OriginalStatusCode, OriginalMessage } = error as SdkError;
  const status = $metadata?.httpStatusCode ?? 0;
  const message = `${name}: ${reasonOf(error)}`.slice(0, 500);
  const wait = retryAfterMs($response?.headers?.["retry-after"], now);
  const busy = wait === undefined ? {} : { retryAfterMs: wait };
  if (name === "ModelError") {
    const original = OriginalStatusCode ?? 0;
    const detail = `the model answered ${original}: ${OriginalMessage ?? reasonOf(error)}`.slice(0, 500);
    if (PICTURE_STATUSES.includes(original)) {
      return frames > 1 ? { ...failed("model-refused", detail, "alone"), isOfItems: true } : refused(detail);
    }
    return failed("model-error", detail, original === 0 || original >= 429);
  }
  if (name === "ModelNotReadyException") return { ...failed("model-not-ready", message, true), ...busy };
  if (FORBIDDEN.test(name) || status === 401 || status === 403) return failed("server-forbidden", message);
  if (THROTTLED.test(name) || status === 429) return { ...failed("server-busy", message, true), ...busy };
  if (status === 413) return { kind: "refused", code: "image-too-large", message };
  if (status === 404) return failed("server-model-unknown", message);
  if (status === 503) return { ...failed("server-unavailable", message, true), ...busy };
  if (status >= 500) return failed("server-error", message, true);
  if (status >= 400) return failed("server-refused", message);
  if (cause === "answer-too-large") return failed(cause, message);
  // The answer began and did not end.
  if (status >= 200 || /aborted/.test(message)) return failed("answer-cut", message, true);
  return failed("server-unreachable", message, true);
}

const refused = (message: string): Refused => ({ kind: "refused", code: "model-refused", message });
