/** The blocks every process's file shares. */
import { z } from "zod";

const port = z.number().int().min(0).max(65_535);

export const kafkaBlock = z.strictObject({
  brokers: z
    .array(z.string().regex(/^\[?[^\s/]+\]?:\d{1,5}$/, "expected host:port"))
    .min(1)
    .default(["127.0.0.1:9092"]),
  /** Before every topic and group name. */
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9._-]{0,100}$/, "expected letters, digits, dots, dashes and underscores")
    .default("tributary."),
  /** How far this process's clock may be off against Kafka's before the process is not ready. */
  clockOffsetMsMax: z.number().int().min(100).max(3_600_000).default(5_000),
});
export type KafkaBlock = z.output<typeof kafkaBlock>;

/** Port 0 is any free port; the `ready` line has it. */
export const httpBlock = z.strictObject({
  host: z.string().min(1).default("127.0.0.1"),
  port: port.default(0),
  /** Names under which it may be called besides loopback's, as browsers and proxies send them in Host; `.example.com` is every
   * name below. */
  hosts: z
    .array(
      z.string().regex(/^\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/, "expected a host name in small letters, without a port"),
    )
    .max(100)
    .default([]),
  /** Web pages that may use it from a browser, by their origin. */
  origins: z
    .array(z.string().regex(/^https?:\/\/[a-z0-9.:[\]_-]+$/, "expected an origin, as https://console.example.com"))
    .max(100)
    .default([]),
  /** A port of its own for /metrics, which then is nowhere else; left out, it is on `port`. */
  metricsPort: port.optional(),
  /** Where that one listens; as `host` by default. */
  metricsHost: z.string().min(1).optional(),
});
export type HttpBlock = z.output<typeof httpBlock>;

export const logBlock = z.strictObject({
  level: z.enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"]).default("info"),
});
export type LogBlock = z.output<typeof logBlock>;

/** Errors and logs name what was asked: no credentials stand in a URL. */
export const httpUrl = z
  .url({ protocol: /^https?$/, error: "expected http:// or https://" })
  .refine(
    (url) => !/^[a-z]+:\/\/[^/?#]*@/i.test(url),
    "credentials do not belong in a URL: they have keys of their own",
  );

/** Any registry that speaks Confluent's API; left out, the ids are those of schemas/registry.lock.json, which the gateway
 * serves. The same for all processes: their records would not understand each other otherwise. */
export const schemaRegistryBlock = z.strictObject({
  /** Without the trailing `/subjects`. */
  url: httpUrl,
  basicAuth: z.strictObject({ username: z.string().min(1), password: z.string() }).optional(),
  /** Whether missing schemas are registered at start; otherwise a missing one is refused. */
  autoRegister: z.boolean().default(true),
  /** Of one call. */
  timeoutMs: z.number().int().positive().max(60_000).default(5_000),
});
export type SchemaRegistryBlock = z.output<typeof schemaRegistryBlock>;

/** Spread into a process's `z.strictObject`; each block may be left out. */
export const sharedBlocks = {
  kafka: kafkaBlock.prefault({}),
  http: httpBlock.prefault({}),
  log: logBlock.prefault({}),
  schemaRegistry: schemaRegistryBlock.optional(),
};

export const portSchema = port;
