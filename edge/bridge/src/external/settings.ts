/** The configuration of `mqtt.mode: external`, and its checks. */
import { createHash } from "node:crypto";
import { z } from "zod";

const ms = z.number().int().min(1);
const name = z.string().min(1).max(256);

export const externalFields = {
  /** mqtt://host:port or mqtts://host:port of any broker that speaks MQTT 5. */
  url: z
    .string()
    .regex(
      /^mqtts?:\/\/[^\s/@]+\/?$/,
      "expected mqtt://host:port or mqtts://host:port; credentials are keys of their own",
    )
    .refine((url) => URL.canParse(url), "expected mqtt://host:port or mqtts://host:port")
    .optional(),
  username: name.optional(),
  password: z.string().min(1).optional(),
  /** Names this bridge's session at the broker: the same over restarts, another for every bridge. The user name by default. */
  clientId: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "expected letters, digits, - and _; at most 64")
    .optional(),
  /** Bridges of one name share the devices' messages. A client that knows it could join them at a broker that does not check
   * subscriptions (Mosquitto); so by default it is made from the probe's password, which they share. */
  shareName: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "expected letters, digits, - and _; at most 64")
    .optional(),
  keepaliveSeconds: z.number().int().min(5).max(3_600).optional(),
  connectTimeoutMs: ms.optional(),
  backoff: z.strictObject({ minMs: ms.default(250), maxMs: ms.default(15_000) }).optional(),
  /** How long the broker keeps messages for an offline bridge. */
  sessionExpirySeconds: z.number().int().min(60).max(4_294_967_294).optional(),
  /** Messages that the broker may send before the first is acknowledged. */
  receiveMaximum: z.number().int().min(1).max(65_535).optional(),
  /** How long acknowledgements for a device are batched. */
  ackDelayMs: z.number().int().min(0).max(10_000).optional(),
  /** Credentials of a device that does not exist: with them the bridge tries at its start what no device may do. */
  probe: z.strictObject({ username: name, password: z.string().min(1) }).optional(),
};

const DEFAULTS = {
  keepaliveSeconds: 30,
  connectTimeoutMs: 10_000,
  backoff: { minMs: 250, maxMs: 15_000 },
  sessionExpirySeconds: 24 * 3_600,
  receiveMaximum: 256,
  ackDelayMs: 100,
};

type Given = z.output<z.ZodObject<typeof externalFields>> & { readonly mode: "embedded" | "external" };
export type ExternalSettings = typeof DEFAULTS &
  Pick<Given, "username" | "password" | "probe"> & {
    readonly url: string;
    readonly clientId: string;
    readonly shareName: string;
  };

export function externalProblems(mqtt: Given): { readonly path: (string | number)[]; readonly message: string }[] {
  const problem = (key: string, message: string) => ({ path: ["mqtt", key], message });
  if (mqtt.mode === "embedded") {
    const given = Object.keys(externalFields).filter((key) => mqtt[key as keyof typeof externalFields] !== undefined);
    return given.map((key) => problem(key, "is of mode: external"));
  }
  const problems = [];
  if (mqtt.url === undefined) problems.push(problem("url", "mode: external needs the broker's url"));
  if (mqtt.clientId === undefined && !/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(mqtt.username ?? "")) {
    problems.push(
      problem("clientId", "mode: external needs one, stable and each bridge's own, or a username that serves as one"),
    );
  }
  if (mqtt.url !== undefined && URL.canParse(mqtt.url) && !isLoopback(mqtt.url) && mqtt.probe === undefined) {
    problems.push(
      problem("probe", "a broker that is not on loopback is tried with a device's credentials before it is used"),
    );
  }
  return problems;
}

/** Of a configuration without problems. */
export function externalSettings(mqtt: Given): ExternalSettings {
  const given = Object.fromEntries(Object.entries(mqtt).filter(([, value]) => value !== undefined));
  const shareName = mqtt.probe === undefined ? "tributary" : `tributary-${digestOf(mqtt.probe.password)}`;
  return { ...DEFAULTS, shareName, clientId: mqtt.username ?? "", ...given } as ExternalSettings;
}

const digestOf = (secret: string): string => createHash("sha256").update(secret).digest("hex").slice(0, 24);

export function isLoopback(url: string): boolean {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, "");
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
