/** Devices: who may connect, what each runs, and how far its update is. */
import { isValidId } from "@tributary/kernel";
import { z } from "zod";
import { limit } from "./parts.ts";
import { json, route } from "./route.ts";

export const updatePhases = [
  "UNKNOWN",
  "WAITING",
  "DOWNLOADING",
  "VERIFYING",
  "SHADOWING",
  "PROBATION",
  "COMMITTED",
  "REFUSED",
  "REVERTED",
] as const;

export const updateSchema = z.object({
  generation: z.string(),
  slot: z.string(),
  modelDigest: z.string(),
  phase: z.enum(updatePhases),
  code: z.string().describe("Why it was refused, reverted or waits; else empty."),
  reason: z.string().describe("The same in words."),
  bytesDone: z.number().int(),
  bytesAll: z.number().int().describe("0 while unknown."),
});
export type DeviceUpdate = z.output<typeof updateSchema>;

const throttleSchema = z.object({
  by: z.string().describe("bridge or router."),
  reason: z
    .string()
    .describe("The limit that it exceeds, e.g. messages, bytes, dead-letters, subscriptions, budget, draws."),
  since: z.string(),
  count: z.number().describe("How often it was held back since."),
});
export type Throttle = z.output<typeof throttleSchema>;

/** A device as the public API shows it: never its password's hash. */
const deviceSchema = z.object({
  deviceId: z.string(),
  status: z.enum(["UNKNOWN", "ACTIVE", "REVOKED"]),
  hardwareClass: z.string(),
  site: z.string(),
  registeredAt: z.string().describe("When it was registered or last changed."),
  lastSeenAt: z
    .string()
    .nullable()
    .describe("Newest receipt of its reported state or answer of its frames, as far as this gateway read."),
  throttled: z
    .array(throttleSchema)
    .readonly()
    .describe("Limits that it exceeds now, oldest first; empty if it keeps them."),
  reported: z
    .object({
      agentVersion: z.string(),
      bootId: z.string(),
      hardwareClass: z.string(),
      clockState: z.string(),
      generation: z.string(),
      slots: z.record(
        z.string(),
        z.object({ modelDigest: z.string(), modelName: z.string(), modelVersion: z.string() }),
      ),
      policyVersion: z.string(),
      acceptedSchemas: z.array(z.string()),
      cameras: z.array(z.string()),
      update: updateSchema.nullable().describe("How far its last desired state is; null: none was wanted."),
      goldenPassed: z.boolean().nullable().describe("Whether its model reproduces its golden frames there."),
      reportedAt: z.string(),
    })
    .nullable()
    .describe("What it reports that it runs; null until it reports."),
});
export type Device = z.output<typeof deviceSchema>;

const registrationSchema = z.strictObject({
  deviceId: z
    .string()
    .refine(isValidId, "expected a letter or digit, then up to 63 letters, digits, dashes and underscores"),
  hardwareClass: z.string().max(64).default("unknown").describe("E.g. rpi4, rpi5, x64."),
  site: z.string().max(256).default("").describe("Where it stands."),
});
export type RegistrationRequest = z.output<typeof registrationSchema>;

const registeredSchema = deviceSchema.extend({
  password: z.string().describe("Shown this once; Kafka keeps only its hash."),
});
export type RegisteredDevice = z.output<typeof registeredSchema>;

const deviceQuery = z.strictObject({
  status: z.enum(["ACTIVE", "REVOKED"]).optional(),
  site: z.string().optional(),
  limit: limit(1_000),
  after: z.string().optional().describe("Only devices whose id comes after this one: `next` of the page before."),
});
export type DeviceQuery = z.output<typeof deviceQuery>;

const devicePageSchema = z.object({
  items: z.array(deviceSchema),
  next: z.string().nullable().describe("The next page's `after`; null: this was the last."),
});
export type DevicePage = z.output<typeof devicePageSchema>;

export const devices = {
  list: route({
    method: "GET",
    path: "/api/v1/devices",
    summary: "The fleet: who is registered, what each device runs, when it was last heard.",
    query: deviceQuery,
    response: json("Devices, by id: at most `limit`, and how to ask for those after them.", devicePageSchema),
    problems: [[400, "request-invalid"]],
  }),
  register: route({
    method: "POST",
    path: "/api/v1/devices",
    summary: "Registers a device; answers once Kafka has it. The password is shown this once.",
    body: registrationSchema,
    status: 201,
    response: json("The device and its password.", registeredSchema),
    problems: [
      [400, "request-invalid"],
      [409, "device-exists, device-changing"],
      [503, "kafka-unavailable"],
    ],
  }),
  one: route({
    method: "GET",
    path: "/api/v1/devices/{deviceId}",
    summary: "One device.",
    response: json("The device.", deviceSchema),
    problems: [[404, "device-unknown"]],
  }),
  revoke: route({
    method: "DELETE",
    path: "/api/v1/devices/{deviceId}",
    summary: "Revokes a device: it may no longer connect. It stays listed as REVOKED.",
    response: json("The revoked device.", deviceSchema),
    problems: [
      [404, "device-unknown"],
      [409, "device-changing"],
      [503, "kafka-unavailable"],
    ],
  }),
};
