/**
 * Unauthenticated requests at every HTTP port: from pages of other sites, with foreign names, without a token or with guessed ones.
 *
 * A twin makes the same request with authorisation; at a port without writes both read.
 */
import { createHash } from "node:crypto";
import { request as httpRequest } from "node:http";
import { join } from "node:path";
import { ensureTributaryTopics, KafkajsAdmin } from "@tributary/kafka";
import { ensureTrust } from "@tributary/stack";
import { repositoryRoot, type SpawnedService, spawnService } from "@tributary/testing";
import type { Attempt, Door, StrangerClass } from "./classes.ts";

const TOKEN = "the-token-of-who-may-change-things";
/** More than a door takes of what it refuses. */
const MEGABYTES = 2 << 20;
/** Guesses are made from an address of their own: a client that authenticated from one before keeps it. */
const STRANGER = "127.8.0.1";
const EVIL = "https://evil.example";

export type HttpDoorOptions = {
  readonly dir: string;
  readonly brokers: readonly string[];
  readonly prefix?: string;
  /** Where the agent's bridge is; nothing needs to listen there. */
  readonly mqttUrl?: string;
};

type Ask = {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
};
type Port = {
  readonly name: string;
  readonly port: number;
  readonly metricsUrl: string;
  /** Whether writes need a token here. */
  readonly hasToken: boolean;
  /** The authorised write of the twin, with another object for each key; undefined: the port has no writes. */
  readonly change?: (key: string) => Ask;
  readonly read: string;
};

const JSON_TYPE = { "content-type": "application/json" };
const json = (method: string, path: string, body: object): Ask => ({
  method,
  path,
  headers: JSON_TYPE,
  body: JSON.stringify(body),
});

export async function openHttpDoor(options: HttpDoorOptions): Promise<Door> {
  const { dir, brokers, prefix = "strangers-http.", mqttUrl = "mqtt://127.0.0.1:1" } = options;
  const admin = new KafkajsAdmin({ brokers: [...brokers], prefix, clientId: "chaos-admin" });
  await ensureTributaryTopics(admin, { partitions: 2 });
  await admin.close();
  const running: SpawnedService[] = [];
  const start = async (name: string, main: string, config: object): Promise<SpawnedService> => {
    const service = await spawnService({ name, main, dir, config, readyMsMax: 120_000 });
    running.push(service);
    return service;
  };
  const shared = { kafka: { brokers, prefix }, http: { metricsPort: 0 }, log: { level: "warn" } };
  const auth = { tokens: [TOKEN] };
  const edge = join(repositoryRoot, "models/edge-resnet8");
  const cloud = join(repositoryRoot, "models/cloud-vgg");
  const serviceMain = (name: string) => `services/${name}/dist/main.js`;
  try {
    await ensureTrust(join(dir, "registry"), join(dir, "root-keys"));
    const services = await Promise.all([
      start("gateway", serviceMain("gateway"), { ...shared, auth }),
      start("model-registry", serviceMain("model-registry"), {
        ...shared,
        auth,
        dataDir: join(dir, "registry"),
        blobs: { uploadsMax: 100 },
      }),
      start("rollout-manager", serviceMain("rollout-manager"), { ...shared, auth }),
      start("router", serviceMain("router"), { ...shared, packages: [edge] }),
      start("cloud-classifier", serviceMain("cloud-classifier"), {
        ...shared,
        targets: { default: { backend: "onnx", package: cloud } },
      }),
      start("bridge", "edge/bridge/dist/main.js", { ...shared, mqtt: { port: 0 } }),
      start("agent", "edge/agent/dist/main.js", {
        deviceId: "strangers",
        dataDir: join(dir, "device"),
        http: { metricsPort: 0 },
        log: { level: "warn" },
        mqtt: { url: mqttUrl, password: "x" },
        model: { package: edge },
      }),
    ]);
    const ports = services.flatMap(portsOf);
    const close = async () => {
      await Promise.all(running.map((service) => service.stop(10_000)));
    };
    return { classes: ports.flatMap(classesOf), close };
  } catch (error) {
    await Promise.all(running.map((service) => service.kill()));
    throw error;
  }
}

/** The port of a service, and the one of its metrics. */
function portsOf({ name, ports }: SpawnedService): readonly Port[] {
  const { http = 0, metrics = 0 } = ports;
  const metricsUrl = `http://127.0.0.1:${metrics}/metrics`;
  const reading = { hasToken: false, metricsUrl, read: "/health/live" };
  const own: Port = { ...reading, name, port: http };
  return [
    { ...own, ...changesOf[name] },
    { ...reading, name: `${name}'s metrics`, port: metrics, read: "/metrics" },
  ];
}

const blob = (key: string): Ask => {
  const body = Buffer.from(`a file ${key}`);
  const path = `/blobs/sha256/${createHash("sha256").update(body).digest("hex")}`;
  return { method: "PUT", path, headers: { "content-type": "application/octet-stream" }, body };
};

const changesOf: Readonly<Record<string, Pick<Port, "change" | "hasToken">>> = {
  gateway: { hasToken: true, change: (key) => json("POST", "/api/v1/devices", { deviceId: `twin-${key}` }) },
  "model-registry": { hasToken: true, change: blob },
  // Its error for an unknown rollout means that the request passed the checks.
  "rollout-manager": {
    hasToken: true,
    change: () => json("POST", "/rollouts/none/commands", { command: "abort", by: "chaos" }),
  },
  agent: { hasToken: false, change: () => json("POST", "/v1/conditions", { parked: true }) },
};

type Variant = {
  readonly name: string;
  /** Of the door's refusal. */
  readonly code: string;
  readonly spoil: (ask: Ask, i: number) => Ask;
  readonly only?: (port: Port) => boolean;
};

const withHeaders = (ask: Ask, headers: Readonly<Record<string, string>>): Ask => ({
  ...ask,
  headers: { ...ask.headers, ...headers },
});
const form = (type: string, body: string) => (ask: Ask) =>
  withHeaders({ ...ask, method: "POST", body }, { "content-type": type });
const BOUNDARY = "----page";
const multipart = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="deviceId"\r\n\r\nstranger\r\n--${BOUNDARY}--\r\n`;
const takesToken = ({ hasToken }: Port) => hasToken;

const variants: readonly Variant[] = [
  {
    name: "a form, urlencoded",
    code: "media-type",
    spoil: form("application/x-www-form-urlencoded", "deviceId=stranger"),
  },
  {
    name: "a form, multipart",
    code: "media-type",
    spoil: form(`multipart/form-data; boundary=${BOUNDARY}`, multipart),
  },
  {
    name: "a form of text/plain that reads as JSON",
    code: "media-type",
    spoil: form("text/plain", '{"deviceId":"stranger"}'),
  },
  { name: "another origin", code: "site-foreign", spoil: (ask) => withHeaders(ask, { origin: EVIL }) },
  { name: "an origin that hides", code: "site-foreign", spoil: (ask) => withHeaders(ask, { origin: "null" }) },
  {
    name: "Sec-Fetch-Site: cross-site",
    code: "site-foreign",
    spoil: (ask) => withHeaders(ask, { "sec-fetch-site": "cross-site" }),
  },
  {
    name: "another port of this machine",
    code: "site-foreign",
    spoil: (ask) => withHeaders(ask, { "sec-fetch-site": "same-site" }),
  },
  { name: "a foreign Host", code: "host-foreign", spoil: (ask, i) => withHeaders(ask, { host: `r${i}.evil.example` }) },
  { name: "no token", code: "token-missing", spoil: (ask) => without(ask, "authorization"), only: takesToken },
  {
    name: "a wrong token",
    code: "token-",
    spoil: (ask, i) => withHeaders(ask, { authorization: `Bearer guess-${i}-of-the-token` }),
    only: takesToken,
  },
  {
    name: "megabytes before the token",
    code: "token-missing",
    spoil: (ask) => without({ ...ask, body: Buffer.alloc(MEGABYTES, 32) }, "authorization"),
    only: takesToken,
  },
  {
    name: "a body where none is taken",
    code: "body-unexpected",
    spoil: (ask) => withHeaders({ ...ask, method: "GET", body: "{}" }, JSON_TYPE),
  },
];

function without(ask: Ask, header: string): Ask {
  const { [header]: _, ...headers } = ask.headers ?? {};
  return { ...ask, headers };
}

const classesOf = (port: Port): StrangerClass[] =>
  variants
    .filter(({ only }) => only === undefined || only(port))
    .map(({ name, code, spoil }, n) => {
      const rightful = (i: number): Ask => {
        const ask = port.change?.(`${n}-${i}`) ?? { method: "GET", path: port.read };
        return port.hasToken ? withHeaders(ask, { authorization: `Bearer ${TOKEN}` }) : ask;
      };
      return {
        name: `http: ${port.name}: ${name}`,
        attempt: async (i: number): Promise<Attempt> =>
          refusalOf(await ask(port.port, spoil(rightful(i), i), STRANGER), code),
        twin: async (i: number) => isIn(await ask(port.port, rightful(i))),
        // Of a wrong token there are two refusals: found wrong, and not looked at.
        ...(code !== "token-" && {
          counted: `tributary_http_refused_total{code="${code}"}`,
          metricsUrl: port.metricsUrl,
        }),
      };
    });

type Answer = { readonly status: number; readonly code: string };

/** The service's own 404 means that the request was authorised. */
const isIn = ({ status, code }: Answer): boolean => (status >= 200 && status < 300) || code === "rollout-unknown";

function refusalOf({ status, code }: Answer, wanted: string): Attempt {
  if (status === 0) return { refused: "the connection ended" };
  return status >= 400 && code.startsWith(wanted) ? { refused: code } : "accepted";
}

const ANSWER_MS_MAX = 30_000;

/** Not fetch, which forbids the headers that a browser sets itself. */
function ask(port: number, { method, path, headers = {}, body }: Ask, localAddress = "127.0.0.1"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const options = {
      host: "127.0.0.1",
      port,
      localAddress,
      method,
      path,
      headers: { ...headers, ...length },
      agent: false,
    };
    const request = httpRequest({ ...options, timeout: ANSWER_MS_MAX });
    let isAnswered = false;
    request.on("timeout", () => request.destroy(new Error(`${method} ${path}: no answer in ${ANSWER_MS_MAX} ms`)));
    request.on("error", (error: NodeJS.ErrnoException) => {
      if (isAnswered) return; // the rest of a body was not taken
      const isCutOff = body?.length === MEGABYTES && ["ECONNRESET", "EPIPE"].includes(error.code ?? "");
      if (isCutOff) resolve({ status: 0, code: "" });
      else reject(error);
    });
    request.on("response", async (response) => {
      isAnswered = true;
      let text = "";
      try {
        for await (const chunk of response) text += chunk;
      } catch {
        // cut off behind the answer
      }
      resolve({ status: response.statusCode ?? 0, code: codeIn(text) });
    });
    request.end(body);
  });
}

function codeIn(text: string): string {
  try {
    return String((JSON.parse(text) as { code?: unknown }).code ?? "");
  } catch {
    return "";
  }
}
