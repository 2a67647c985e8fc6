/**
 * Queries Prometheus, or a server with its HTTP API (Thanos, Mimir, VictoriaMetrics), for one instant vector.
 *
 * An answer is bounded in time, bytes and series; one that exceeds a bound is refused as a whole (G9). An answer is checked
 * before it is used; a malformed series does not affect the others. Credentials are sent to the configured address only,
 * never along a redirect, and appear in no message.
 */
import { Failure, type Instant, reasonOf } from "@tributary/kernel";
import { z } from "zod";

export type PrometheusAccess = {
  readonly url: string;
  readonly token?: string | undefined;
  readonly basic?: { readonly user: string; readonly password: string } | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly answerBytesMax: number;
  readonly seriesMax: number;
};

export type Series = { readonly labels: Readonly<Record<string, string>>; readonly value: number };

/** `malformed`: number of malformed series. */
export type Vector = { readonly series: readonly Series[]; readonly malformed: number };

const ERROR_BYTES_MAX = 64 * 1024;
const WORDS_MAX = 120;

const answer = z.object({
  status: z.literal("success"),
  data: z.object({ resultType: z.string(), result: z.array(z.unknown()) }),
});
const refusal = z.object({ status: z.literal("error"), error: z.string() });
/** Prometheus writes numbers as text, so that NaN and infinities fit. */
const series = z.object({
  metric: z.record(z.string(), z.string()),
  value: z.tuple([z.number(), z.string().max(64)]),
});

/** Throws Failure `prometheus-…`; its message is for people and names no credential. */
export async function askPrometheus(
  access: PrometheusAccess,
  query: string,
  at: Instant,
  signal: AbortSignal,
): Promise<Vector> {
  const { url, timeoutMs, seriesMax } = access;
  const inTime = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(`${url.replace(/\/+$/, "")}/api/v1/query`, {
      method: "POST",
      headers: {
        ...headersOf(access),
        "content-type": "application/x-www-form-urlencoded",
        accept: "application/json",
      },
      body: new URLSearchParams({ query, time: (at / 1_000).toFixed(3), timeout: `${timeoutMs}ms` }),
      redirect: "error",
      signal: AbortSignal.any([signal, inTime]),
    });
    if (!response.ok) throw await refusalOf(response);
    return vectorOf(await bodyOf(response, access.answerBytesMax), seriesMax);
  } catch (error) {
    if (error instanceof Failure) throw error;
    if (inTime.aborted) throw away("prometheus-timeout", `no answer within ${timeoutMs} ms`);
    throw away("prometheus-unreachable", causeOf(error));
  }
}

const away = (code: string, reason: string): Failure =>
  new Failure(code, "retry", `Prometheus cannot be asked: ${reason.slice(0, WORDS_MAX)}`);

/** The cause of a failed fetch: the message `fetch failed` alone does not name it. */
function causeOf(error: unknown): string {
  const { cause } = Object(error) as { cause?: { message?: unknown } };
  return typeof cause?.message === "string" && cause.message !== "" ? cause.message : reasonOf(error);
}

const unusable = (reason: string): Failure =>
  new Failure("prometheus-answer-unusable", "ask-a-person", `Prometheus' answer cannot be used: ${reason}`);

function headersOf({ token, basic, headers }: PrometheusAccess): Record<string, string> {
  if (token !== undefined) return { ...headers, authorization: `Bearer ${token}` };
  if (basic === undefined) return { ...headers };
  const { user, password } = basic;
  return { ...headers, authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` };
}

async function refusalOf(response: Response): Promise<Failure> {
  const { status } = response;
  if (status === 401 || status === 403) {
    await response.body?.cancel();
    const advice = "check token, basic and headers of prometheus in the configuration";
    return new Failure("prometheus-denied", "ask-a-person", `Prometheus lets us not in (${status}); ${advice}`);
  }
  let reason = "";
  try {
    const read = refusal.safeParse(JSON.parse(await bodyOf(response, ERROR_BYTES_MAX)));
    if (read.success) reason = `: ${read.data.error.slice(0, WORDS_MAX)}`;
  } catch {
    // Any other body is a proxy's.
  }
  return status === 400 || status === 422
    ? new Failure("prometheus-query-refused", "ask-a-person", `Prometheus refuses the query${reason}`)
    : away("prometheus-failed", `it answers ${status}${reason}`);
}

async function bodyOf(response: Response, bytesMax: number): Promise<string> {
  const reader = response.body?.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const { value, done } = (await reader?.read()) ?? { value: undefined, done: true };
    if (done || value === undefined) return Buffer.concat(chunks).toString("utf8");
    bytes += value.byteLength;
    if (bytes > bytesMax) {
      await reader?.cancel();
      const advice = "narrow the query to the rollout's devices and to the label of the device";
      throw new Failure("prometheus-answer-too-large", "ask-a-person", `more than ${bytesMax} bytes; ${advice}`);
    }
    chunks.push(value);
  }
}

/** Exported for tests. */
export function vectorOf(body: string, seriesMax: number): Vector {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    throw unusable("it is no JSON");
  }
  const read = answer.safeParse(parsed);
  if (!read.success) throw unusable("it is none of /api/v1/query");
  const { resultType, result } = read.data.data;
  if (resultType !== "vector") throw unusable(`it is a ${resultType.slice(0, 32)}, not an instant vector`);
  if (result.length > seriesMax) {
    const advice = "narrow the query to the rollout's devices";
    throw new Failure(
      "prometheus-too-many-series",
      "ask-a-person",
      `${result.length} series, of at most ${seriesMax}; ${advice}`,
    );
  }
  const found: Series[] = [];
  for (const one of result) {
    const { data } = series.safeParse(one);
    if (data !== undefined) found.push({ labels: data.metric, value: Number(data.value[1]) });
  }
  return { series: found, malformed: result.length - found.length };
}
