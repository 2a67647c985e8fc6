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
});
export type KafkaBlock = z.output<typeof kafkaBlock>;

/** Port 0 is any free port; the `ready` line tells which. */
export const httpBlock = z.strictObject({ host: z.string().min(1).default("127.0.0.1"), port: port.default(0) });
export type HttpBlock = z.output<typeof httpBlock>;

export const logBlock = z.strictObject({
  level: z.enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"]).default("info"),
});
export type LogBlock = z.output<typeof logBlock>;

/** Spread into a process's `z.strictObject`; each block may be left out. */
export const sharedBlocks = {
  kafka: kafkaBlock.prefault({}),
  http: httpBlock.prefault({}),
  log: logBlock.prefault({}),
};

export const portSchema = port;
