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

  get isConfigured(): boolean {
    return this.#config !== undefined;
  }

  /** The service's answer, parsed from JSON. What is neither in the path nor the body goes into the query. @throws Problem */
  async call<R extends Route>(route: R, input: Input<R>): Promise<unknown> {
    const { response, body } = await this.#send(route, input, BODY_BYTES_MAX);
    return this.#answerOf(response, body === undefined ? undefined : jsonOf(response, body));
  }

  /** The bytes that the service answers. @throws Problem */
  async bytes<R extends Route>(route: R, input: Input<R>, bytesMax: number): Promise<Buffer> {
    const { response, body } = await this.#send(route, input, bytesMax);
    if (response.ok && body !== undefined) return body;
    this.#answerOf(response, response.ok || body === undefined ? undefined : jsonOf(response, body));
    throw new Error("an answer that is not ok was returned");
  }

  /** `body` is undefined if it has more than `bytesMax`. */
  async #send<R extends Route>({ method, path }: R, input: Input<R>, bytesMax: number) {
    const { body, ...parameters } = input as Readonly<Record<string, unknown>>;
    const config = this.#config;
    if (config === undefined) {
      const detail = `This gateway knows no ${this.#name}: put its URL into the gateway's file as ${this.#key}.url.`;
      throw new Problem(501, `${this.#name}-not-configured`, "ask-a-person", detail);
    }
    const url = new URL(pathOf(path, inPath(path, parameters)).slice(1), config.url.replace(/\/?$/, "/"));
    for (const [name, value] of Object.entries(parameters)) {
      if (!path.includes(`{${name}}`) && value !== undefined) url.searchParams.set(name, String(value));
    }
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
      return { response, body: await bytesOf(response, bytesMax) };
    } catch (error) {
      const reason = late.aborted ? `no answer in ${config.timeoutMs} ms` : causeOf(error);
      const what =
        method === "GET" ? "Try again." : "Whether it did what was asked is not known; look, then try again.";
      const detail = `${this.#name} cannot be reached: ${reason}. ${what}`;
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

/** Parameters of the path. ".." would lead elsewhere. @throws Problem */
function inPath(path: string, parameters: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const own = Object.entries(parameters).filter(([name]) => path.includes(`{${name}}`));
  const foreign = own.find(([, part]) => !/^[A-Za-z0-9]/.test(String(part)));
  if (foreign === undefined) return Object.fromEntries(own);
  const detail = `"${String(foreign[1])}" is no name: it begins with a letter or a digit.`;
  throw new Problem(400, "request-invalid", "give-up", detail);
}

async function bytesOf(response: Response, bytesMax: number): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > bytesMax) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function jsonOf(response: Response, body: Buffer): unknown {
  if (body.length === 0 && response.ok) return {};
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const { code } = cause as { readonly code?: unknown };
  return typeof code === "string" ? code : reasonOf(cause);
}
