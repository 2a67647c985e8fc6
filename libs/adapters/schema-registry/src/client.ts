/**
 * A Confluent-compatible schema registry over HTTP: Confluent's, Karapace, Apicurio (its `/apis/ccompat/v7`), our gateway.
 *
 * Every call ends: it has a time limit, and the bytes read of an answer are bounded (G9). A failure has a stable code and an
 * advice: an outage and a malformed answer (a proxy's page, half a body) are retried; a refusal needs a person. */
import { Failure, reasonOf } from "@tributary/kernel";

export type SchemaRegistryAccess = {
  /** Without the trailing `/subjects`. */
  readonly url: string;
  readonly basicAuth?: { readonly username: string; readonly password: string } | undefined;
  readonly timeoutMs?: number;
};

export const SCHEMA_REGISTRY_UNAVAILABLE = "schema-registry-unavailable";
export const SCHEMA_REGISTRY_BAD_RESPONSE = "schema-registry-bad-response";
export const SCHEMA_REGISTRY_REFUSED = "schema-registry-refused";
export const SCHEMA_REGISTRY_CONFLICT = "schema-registry-conflict";

export type Registered = { readonly version: number; readonly id: number; readonly schema: unknown };

export interface SchemaRegistryClient {
  readonly url: string;
  /** Undefined: there is no such subject. */
  versionsOf(subject: string): Promise<readonly number[] | undefined>;
  version(subject: string, version: number): Promise<Registered>;
  /** Undefined: there is no such id. */
  schemaById(id: number): Promise<unknown>;
  /** The schema's id; the existing one if it is registered already. */
  register(subject: string, schema: unknown): Promise<number>;
  requireFullTransitive(subject: string): Promise<void>;
}

const MEDIA_TYPE = "application/vnd.schemaregistry.v1+json";
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
const TIMEOUT_MS = 5_000;

type Answer = { readonly status: number; readonly body: unknown };

export function schemaRegistryClient(
  access: SchemaRegistryAccess,
  request: typeof fetch = fetch,
): SchemaRegistryClient {
  const url = access.url.replace(/\/+$/, "");
  const { basicAuth } = access;
  const authorization =
    basicAuth && `Basic ${Buffer.from(`${basicAuth.username}:${basicAuth.password}`).toString("base64")}`;

  async function call(method: string, path: string, payload?: unknown): Promise<Answer> {
    const what = `${method} ${url}${path}`;
    let response: Response;
    let text: string;
    try {
      response = await request(url + path, {
        method,
        headers: {
          accept: `${MEDIA_TYPE}, application/json`,
          ...(payload !== undefined && { "content-type": MEDIA_TYPE }),
          ...(authorization && { authorization }),
        },
        ...(payload !== undefined && { body: JSON.stringify(payload) }),
        signal: AbortSignal.timeout(access.timeoutMs ?? TIMEOUT_MS),
      });
      text = await textOf(response, what);
    } catch (error) {
      if (error instanceof Failure) throw error;
      const cause = (error as { cause?: unknown }).cause;
      throw new Failure(SCHEMA_REGISTRY_UNAVAILABLE, "retry", `${what}: ${reasonOf(cause ?? error)}`, { cause: error });
    }
    return answerOf(what, response.status, text);
  }

  /** An answer's body, or undefined where the registry itself answers that there is no such thing. */
  async function found(method: string, path: string): Promise<unknown> {
    const { status, body } = await call(method, path);
    if (status !== 404) return body;
    const code = (body as { error_code?: unknown } | null)?.error_code;
    if (code === 40401 || code === 40402 || code === 40403) return undefined;
    throw badResponse(`${method} ${url}${path}`, "404 without a registry's error_code: is this a registry's address?");
  }

  return {
    url,
    async versionsOf(subject) {
      const path = `/subjects/${encodeURIComponent(subject)}/versions`;
      const body = await found("GET", path);
      if (body === undefined) return undefined;
      if (Array.isArray(body) && body.every((version) => Number.isInteger(version))) return body as number[];
      throw badResponse(`GET ${url}${path}`, `no version numbers in ${JSON.stringify(body)?.slice(0, 200)}`);
    },
    async version(subject, version) {
      const path = `/subjects/${encodeURIComponent(subject)}/versions/${version}`;
      const body = await found("GET", path);
      return { version, id: idIn(body, `GET ${url}${path}`), schema: schemaIn(body, `GET ${url}${path}`) };
    },
    async schemaById(id) {
      const body = await found("GET", `/schemas/ids/${id}`);
      return body === undefined ? undefined : schemaIn(body, `GET ${url}/schemas/ids/${id}`);
    },
    async register(subject, schema) {
      const path = `/subjects/${encodeURIComponent(subject)}/versions`;
      const { status, body } = await call("POST", path, { schema: JSON.stringify(schema) });
      if (status === 404) throw refused(`POST ${url}${path}`, status, "it takes no schemas");
      return idIn(body, `POST ${url}${path}`);
    },
    async requireFullTransitive(subject) {
      await call("PUT", `/config/${encodeURIComponent(subject)}`, { compatibility: "FULL_TRANSITIVE" });
    },
  };
}

function answerOf(what: string, status: number, text: string): Answer {
  if (status >= 500 || status === 429 || status === 408) {
    throw new Failure(SCHEMA_REGISTRY_UNAVAILABLE, "retry", `${what}: ${status} ${text.slice(0, 300)}`);
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    if (status === 401 || status === 403) throw refused(what, status, text);
    throw badResponse(what, `${status} with no JSON: ${JSON.stringify(text.slice(0, 100))}`);
  }
  if (status >= 400 && status !== 404) {
    const message = String((body as { message?: unknown } | null)?.message ?? text).slice(0, 1_000);
    if (status === 409) throw new Failure(SCHEMA_REGISTRY_CONFLICT, "ask-a-person", `${what}: ${message}`);
    throw refused(what, status, message);
  }
  return { status, body };
}

const idIn = (body: unknown, what: string): number => {
  const id = (body as { id?: unknown } | null)?.id;
  if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id < 2 ** 31) return id;
  throw badResponse(what, `no schema id in ${JSON.stringify(body)?.slice(0, 200)}`);
};

const schemaIn = (body: unknown, what: string): unknown => {
  const { schema, schemaType } = (body ?? {}) as { schema?: unknown; schemaType?: unknown };
  if (schemaType !== undefined && schemaType !== "AVRO")
    throw badResponse(what, `a schema of type ${String(schemaType)}`);
  try {
    return JSON.parse(schema as string);
  } catch {
    throw badResponse(what, `no Avro schema in ${JSON.stringify(body)?.slice(0, 200)}`);
  }
};

async function textOf(response: Response, what: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw badResponse(what, `more than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

const badResponse = (what: string, why: string): Failure =>
  new Failure(SCHEMA_REGISTRY_BAD_RESPONSE, "retry", `${what}: ${why}`);

const refused = (what: string, status: number, message: string): Failure =>
  new Failure(SCHEMA_REGISTRY_REFUSED, "ask-a-person", `${what}: ${status} ${message.slice(0, 1_000)}`);
