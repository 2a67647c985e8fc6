/**
 * Every request that the route tables allow, and what a stranger could see in an answer.
 *
 * The tables are those of @tributary/api, from which the services mount their handlers; each service's door.test.ts holds its door
 * against all that its module mounts.
 */
import { createHash } from "node:crypto";
import { request as httpRequest } from "node:http";
import {
  frameArchiveApi,
  modelRegistryApi,
  pathOf,
  publicApi,
  type Route,
  rolloutManagerApi,
  trainerApi,
} from "@tributary/api";

export type Ask = { readonly method: string; readonly path: string };

/** Values that exist, by the name of a path's parameter. */
export type Values = Readonly<Record<string, readonly string[]>>;

const tables: readonly Readonly<Record<string, Readonly<Record<string, Route>>>>[] = [
  publicApi,
  modelRegistryApi,
  rolloutManagerApi,
  trainerApi,
  frameArchiveApi,
];
/** Served beside the tables. */
const BESIDE = ["/", "/health/live", "/metrics", "/asyncapi", "/asyncapi.yaml", "/api/v1/docs", "/api/v1/openapi.json"];
const UNKNOWN = ["unknown"];

/** Of all tables, with every value, and what reads in other spellings of its path, too. */
export function requestsOf(values: Values): readonly Ask[] {
  const routes = tables.flatMap((table) => Object.values(table).flatMap((group) => Object.values(group)));
  // A HEAD of a stream of events has no answer before there is an event.
  const asks = routes.flatMap(({ method, path, response: { kind } }) =>
    filled(path, values).map((each) => ({ method, path: each, isStream: kind === "events" })),
  );
  const all = [...asks, ...BESIDE.map((path) => ({ method: "GET", path, isStream: false }))].flatMap(spelled);
  return [...new Map(all.map((ask) => [`${ask.method} ${ask.path}`, ask])).values()];
}

function filled(path: string, values: Values): readonly string[] {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
  const each = names.reduce<readonly Record<string, string>[]>(
    (some, name) => some.flatMap((one) => (values[name] ?? UNKNOWN).map((value) => ({ ...one, [name]: value }))),
    [{}],
  );
  return each.map((parameters) => pathOf(path, parameters));
}

/** Routers take other cases and a slash at the end for the same path. */
function spelled({ method, path, isStream }: Ask & { readonly isStream: boolean }): readonly Ask[] {
  if (method !== "GET" || isStream) return [{ method, path }];
  const [, first = "", rest = ""] = /^\/([^/]*)(.*)$/.exec(path) ?? [];
  const others = [`/${first.toUpperCase()}${rest}`, `${path}/`, `/${path}`];
  return [{ method, path }, { method: "HEAD", path }, ...others.map((other) => ({ method, path: other }))];
}

export type Seen = {
  readonly status: number;
  /** An answer that is a picture, has one in its text, or has one's bytes. */
  readonly isPicture: boolean;
  /** An answer that names pictures by their digests, others than the one in the path that was asked for. */
  readonly isManifest: boolean;
  /** SHA-256 of the body. */
  readonly digest: string;
};

const ANSWER_MS_MAX = 30_000;
/** A stream of events has no end. */
const STREAM_MS = 500;
const IN_TEXT = /\/9j\/[A-Za-z0-9+/]{32}|data:image\/(jpeg|png)/;

/** `digests`: SHA-256 and MD5 of the pictures that nobody else may see. From an address of its own, so that wrong tokens of one client do
 * not slow another. */
export async function ask(
  port: number,
  { method, path }: Ask,
  token: string | undefined,
  localAddress: string,
  digests: ReadonlySet<string>,
): Promise<Seen> {
  const { status, body } = await answerOf(port, { method, path }, token, localAddress);
  const text = body.toString("latin1");
  const isJpeg = body[0] === 0xff && body[1] === 0xd8;
  const isPng = text.startsWith("\x89PNG");
  const named = text.match(/\b([0-9a-f]{64}|[0-9a-f]{32})\b/g) ?? [];
  return {
    status,
    isPicture: isJpeg || isPng || IN_TEXT.test(text),
    isManifest: named.some((digest) => digests.has(digest) && !path.includes(digest)),
    digest: createHash("sha256").update(body).digest("hex"),
  };
}

function answerOf(port: number, { method, path }: Ask, token: string | undefined, localAddress: string) {
  return new Promise<{ readonly status: number; readonly body: Buffer }>((resolve, reject) => {
    const changes = !["GET", "HEAD"].includes(method);
    const headers = {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(changes && { "content-type": path.startsWith("/blobs/") ? "application/octet-stream" : "application/json" }),
    };
    const to = { host: "127.0.0.1", port, localAddress, method, path, headers, agent: false };
    const request = httpRequest({ ...to, timeout: ANSWER_MS_MAX });
    request.on("timeout", () => request.destroy(new Error(`${method} ${path}: no answer in ${ANSWER_MS_MAX} ms`)));
    request.on("error", reject);
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      const end = () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) });
      response.on("data", (chunk: Buffer) => chunks.push(chunk)).on("close", end);
      response.on("error", () => {}); // It is cut off below.
      const isStream = response.headers["content-type"]?.startsWith("text/event-stream") === true;
      if (isStream) setTimeout(() => request.destroy(), STREAM_MS);
    });
    request.end(changes && !path.startsWith("/blobs/") ? "{}" : undefined);
  });
}
