/**
 * A service that alone may write what it owns; the gateway forwards people's requests to it.
 *
 * It retries nothing: only the state that the service shows reveals whether a request without an answer took effect. A
 * problem response of the service is passed on unchanged; any other error response is not.
 */
import { type Input, pathOf, problemSchema, type Route } from "@tributary/api";
import { reasonOf } from "@tributary/kernel";
import { Problem } from "@tributary/service-kit";
import { z } from "zod";

export const upstreamBlock = z.strictObject({
  url: z.url({ protocol: /^https?$/, error: "expected http:// or https://" }),
  /** Sent as a bearer token, where the service wants one. */
  token: z
    .string()
    .regex(/^\S{16,512}$/, "expected 16 to 512 characters without spaces")
    .optional(),
  /** Of one call. */
  timeoutMs: z.number().int().positive().max(60_000).default(10_000),
});
export type UpstreamConfig = z.output<typeof upstreamBlock>;

const BODY_BYTES_MAX = 4 * 1024 * 1024;

/** Problem details of the service, with whatever it adds to them. */
const passedSchema = problemSchema.partial().required({ code: true, detail: true }).loose();

export class Upstream {
  readonly #name: string;
  readonly #key: string;
  readonly #config: UpstreamConfig | undefined;

  /** `key`: of the block in the gateway's file. */
  constructor(name: string, key: string, config: UpstreamConfig | undefined) {
    this.#name = name;
    this.#key = key;
    this.#config = config;
  }

  /** The service's answer, parsed from JSON. @throws Problem */
  async call<R extends Route>({ method, path }: R, input: Input<R>): Promise<unknown> {
    const { body, ...parameters } = input as Readonly<Record<string, unknown>>;
    const config = this.#config;
    if (config === undefined) {
      const detail = `This gateway knows no ${this.#name}: put its URL into the gateway's file as ${this.#key}.url.`;
      throw new Problem(501, `${this.#name}-not-configured`, "ask-a-person", detail);
    }
    const foreign = Object.values(parameters).find((part) => !/^[A-Za-z0-9]/.test(String(part))); // ".." would lead elsewhere
    if (foreign !== undefined) {
      throw new Problem(
        400,
        "request-invalid",
        "give-up",
        `"${foreign}" is no name: it begins with a letter or a digit.`,
      );
    }
    const url = new URL(pathOf(path, parameters).slice(1), config.url.replace(/\/?$/, "/"));
    const late = AbortSignal.timeout(config.timeoutMs);
    try {
      const response = await fetch(url, {
        method,
        redirect: "error",
        signal: late,
        headers: {
          "content-type": "application/json",
          ...(config.token !== undefined && { authorization: `Bearer ${config.token}` }),
        },
        body: JSON.stringify(body),
      });
      return this.#answerOf(response, await jsonOf(response));
    } catch (error) {
      if (error instanceof Problem) throw error;
      const reason = late.aborted ? `no answer in ${config.timeoutMs} ms` : causeOf(error);
      const detail = `${this.#name} cannot be reached: ${reason}. Whether it did what was asked is not known; look, then try again.`;
      const headers = { "Retry-After": "5" };
      throw new Problem(503, `${this.#name}-unreachable`, "retry", detail, { headers, cause: error });
    }
  }

  #answerOf(response: Response, body: unknown): unknown {
    if (response.ok && body !== undefined) return body;
    const problem = passedSchema.safeParse(body);
    if (!response.ok && problem.success) {
      // The gateway's own token is the gateway's affair, not that of whoever asked.
      if (response.status !== 401 && response.status !== 403) {
        const { code, advice = "give-up", detail } = problem.data;
        const extensions = { ...problem.data, status: response.status };
        throw new Problem(response.status, code, advice, detail, { extensions });
      }
      const detail = `${this.#name} refuses this gateway (${problem.data.code}): check ${this.#key}.token in the gateway's file.`;
      throw new Problem(502, `${this.#name}-refuses`, "ask-a-person", detail);
    }
    const detail = `What answers at ${this.#key}.url is no ${this.#name}: ${response.status} without problem details.`;
    throw new Problem(502, `${this.#name}-bad-response`, "ask-a-person", detail);
  }
}

async function jsonOf(response: Response): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) return undefined;
    chunks.push(chunk);
  }
  if (bytes === 0 && response.ok) return {};
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    return undefined;
  }
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const { code } = cause as { readonly code?: unknown };
  return typeof code === "string" ? code : reasonOf(cause);
}
