/** The agent's local HTTP ports. Plain node:http: a device's memory is small. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { reasonOf, systemClock } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { Door, type DoorAddress, serveMetrics } from "@tributary/telemetry/http";
import type { Conditions } from "@tributary/updates";
import type { AnswerFeed } from "./answer-feed.ts";
import type { Trigger } from "./triggers.ts";

/** The conditions that a local program reports; the time is the device's own. */
type ReportedConditions = Pick<Conditions, "idle" | "parked">;

export type HttpPorts = {
  readonly feed: AnswerFeed;
  readonly telemetry: Telemetry;
  readonly status: () => unknown;
  /** What is wrong; nothing when it is ready. */
  readonly notReady: () => readonly string[];
  /** The level of the ladder; null: no camera has a deadline. */
  readonly level: () => object | null;
  /** False when there is no such camera. */
  readonly trigger: (cameraId: string, trigger: Trigger) => boolean;
  /** Sets the device's conditions; those that are left out stay. Returns all. */
  readonly conditions: (met: Partial<ReportedConditions>) => ReportedConditions;
};

const BODY_BYTES_MAX = 4_096;
const BODY_MS_MAX = 10_000;
const TRIGGER_FRAMES_MAX = 10_000;
const TRIGGER_SECONDS_MAX = 3_600;

export type HttpSettings = DoorAddress & {
  readonly port: number;
  readonly metricsPort?: number | undefined;
  readonly metricsHost?: string | undefined;
};

/** The port for programs on the device, and the one of /metrics where it has one of its own. */
export async function serveHttp(settings: HttpSettings, ports: HttpPorts): Promise<readonly [Server, Server?]> {
  const { host, port, metricsPort, metricsHost } = settings;
  const { telemetry } = ports;
  const door = new Door({
    address: settings,
    telemetry,
    clock: systemClock,
    bodyBytesMax: BODY_BYTES_MAX,
    bodyMsMax: BODY_MS_MAX,
  });
  const withMetrics = metricsPort === undefined;
  const server = createServer((request, response) => {
    if (!door.admits(request, response)) return;
    route(request, response, ports, withMetrics).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else refuse(response, 500, "internal", reasonOf(error));
    });
  });
  door.guard(server);
  server.maxConnections = 128;
  server.listen(port, host);
  await once(server, "listening");
  if (withMetrics) return [server];
  const address = { ...settings, host: metricsHost ?? host };
  return [server, await serveMetrics({ address, port: metricsPort, telemetry, clock: systemClock })];
}

export const portOf = (server: Server): number => (server.address() as AddressInfo).port;

async function route(
  request: IncomingMessage,
  response: ServerResponse,
  ports: HttpPorts,
  withMetrics: boolean,
): Promise<void> {
  const url = new URL(request.url ?? "/", "http://agent");
  const isGet = request.method === "GET" || request.method === "HEAD";
  switch (url.pathname) {
    case "/v1/answers":
      if (isGet) return ports.feed.read(response);
      break;
    case "/v1/latest":
      if (isGet) return latest(response, ports.feed, url.searchParams.get("cameraId"));
      break;
    case "/v1/level":
      if (isGet) {
        const level = ports.level();
        if (level !== null) return json(response, 200, level);
        return refuse(response, 404, "no-deadline", "no camera has a deadline (cameras[].deadlineMs)");
      }
      break;
    case "/v1/status":
      if (isGet) return json(response, 200, ports.status());
      break;
    case "/metrics":
      if (!withMetrics) return refuse(response, 404, "not-found", "the metrics are on http.metricsPort");
      if (isGet) {
        response.writeHead(200, { "content-type": ports.telemetry.metricsContentType });
        response.end(await ports.telemetry.metrics());
        return;
      }
      break;
    case "/health/live":
      if (isGet) return health(response, []); // It answers.
      break;
    case "/health/ready":
      if (isGet) return health(response, ports.notReady());
      break;
    case "/v1/trigger":
      if (request.method === "POST") return trigger(request, response, ports);
      break;
    case "/v1/conditions":
      if (isGet) return json(response, 200, ports.conditions({}));
      if (request.method === "POST") return conditions(request, response, ports);
      break;
    default:
      return refuse(response, 404, "not-found", `there is nothing at ${url.pathname}`);
  }
  refuse(response, 405, "method-not-allowed", `${request.method} is not possible at ${url.pathname}`);
}

function latest(response: ServerResponse, feed: AnswerFeed, cameraId: string | null): void {
  const answers = feed.latest();
  const answer = answers.find((candidate) => candidate.cameraId === cameraId);
  if (cameraId === null) json(response, 200, { answers });
  else if (answer === undefined) refuse(response, 404, "no-answer", `camera "${cameraId}" has no answer yet`);
  else json(response, 200, answer);
}

function health(response: ServerResponse, wrong: readonly string[]): void {
  json(response, wrong.length === 0 ? 200 : 503, { status: wrong.length === 0 ? "ok" : "not-ok", wrong });
}

/** Undefined: it was too large, and that is answered. */
async function bodyOf(request: IncomingMessage, response: ServerResponse): Promise<string | undefined> {
  let text = "";
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > BODY_BYTES_MAX) {
      refuse(response, 413, "body-too-large", `${BODY_BYTES_MAX} bytes at most`);
      return undefined;
    }
  }
  return text;
}

async function conditions(request: IncomingMessage, response: ServerResponse, ports: HttpPorts): Promise<void> {
  const text = await bodyOf(request, response);
  if (text === undefined) return;
  const parsed = parseConditions(text);
  if (typeof parsed === "string") return refuse(response, 400, "conditions-malformed", parsed);
  json(response, 200, ports.conditions(parsed));
}

export function parseConditions(text: string): string | Partial<ReportedConditions> {
  const shape = 'expected {"parked": true or false, "idle": true or false}, either or both';
  try {
    const body: unknown = JSON.parse(text);
    if (body === null || typeof body !== "object" || Array.isArray(body)) return shape;
    const entries = Object.entries(body);
    const isGood = entries.every(([key, value]) => ["parked", "idle"].includes(key) && typeof value === "boolean");
    return isGood && entries.length > 0 ? (body as Partial<ReportedConditions>) : shape;
  } catch {
    return `not JSON; ${shape}`;
  }
}

async function trigger(request: IncomingMessage, response: ServerResponse, ports: HttpPorts): Promise<void> {
  const text = await bodyOf(request, response);
  if (text === undefined) return;
  const parsed = parseTrigger(text);
  if (typeof parsed === "string") return refuse(response, 400, "trigger-malformed", parsed);
  if (!ports.trigger(parsed.cameraId, parsed.trigger)) {
    return refuse(response, 404, "camera-unknown", `there is no camera "${parsed.cameraId}"`);
  }
  json(response, 202, { cameraId: parsed.cameraId, ...parsed.trigger });
}

export function parseTrigger(text: string): string | { readonly cameraId: string; readonly trigger: Trigger } {
  const shape = `expected {"cameraId": "...", "frames": 1..${TRIGGER_FRAMES_MAX}} or {..., "seconds": 0..${TRIGGER_SECONDS_MAX}}`;
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return `not JSON; ${shape}`;
  }
  if (body === null || typeof body !== "object" || Array.isArray(body)) return shape;
  const { cameraId, frames, seconds, ...rest } = body as Record<string, unknown>;
  if (typeof cameraId !== "string" || Object.keys(rest).length > 0) return shape;
  if ((frames === undefined) === (seconds === undefined)) return `one of frames and seconds; ${shape}`;
  if (frames !== undefined) {
    const isGood = Number.isInteger(frames) && (frames as number) >= 1 && (frames as number) <= TRIGGER_FRAMES_MAX;
    return isGood ? { cameraId, trigger: { frames: frames as number } } : shape;
  }
  const isGood = typeof seconds === "number" && seconds > 0 && seconds <= TRIGGER_SECONDS_MAX;
  return isGood ? { cameraId, trigger: { seconds } } : shape;
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  json(response, status, { error: { code, message } });
}
