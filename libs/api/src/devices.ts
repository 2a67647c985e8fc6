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

export const LABELS_PER_DEVICE_MAX = 32;
const labelKey = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    "expected a letter or digit, then up to 62 letters, digits, dots, dashes and underscores",
  );
const labelValue = z
  .string()
  .regex(/^\P{Cc}{1,63}$/u, "expected 1 to 63 characters on one line")
  .describe("1 to 63 characters.");

const goldenSchema = z.object({
  at: z.string().describe("When they were run, by the device's clock."),
  modelDigest: z.string().describe("The package whose golden frames they are."),
  frames: z.number().int().describe("Golden frames that were run."),
  failed: z.number().int().describe("Those that were not reproduced."),
});

const drivingSchema = z.object({
  level: z.enum(["UNKNOWN", "FULL", "LITE", "STALE", "SAFE"]).describe("SAFE: a minimal-risk manoeuvre is requested."),
  reason: z.string().describe("Why the level was entered, e.g. full-hangs, hot, frame-late, camera-frozen, recovered."),
  since: z.string().nullable().describe("When, by the device's clock."),
  isDegraded: z.boolean().describe("Some of its frames go to the cloud for that reason (FALLBACK)."),
  lite: z
    .object({ modelDigest: z.string(), modelName: z.string(), modelVersion: z.string() })
    .nullable()
    .describe("The small model that stands in."),
});

/** A device as the public API shows it: never its password's hash. */
const deviceSchema = z.object({
  deviceId: z.string(),
  status: z.enum(["UNKNOWN", "ACTIVE", "REVOKED"]),
  hardwareClass: z.string(),
  site: z.string(),
  labels: z
    .record(z.string(), z.string())
    .describe("Labels of the operator, e.g. lens: acme-2; drift is located by them."),
  checkRequestedAt: z.string().nullable().describe("When it was last requested to run its golden frames; null: never."),
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
      golden: goldenSchema
        .nullable()
        .describe("Its last run of the golden frames; null: none yet, or its agent does not report them."),
      driving: drivingSchema.nullable().describe("Of a device whose cameras have deadlines."),
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
  labels: z
    .record(labelKey, labelValue)
    .refine(
      (labels) => Object.keys(labels).length <= LABELS_PER_DEVICE_MAX,
      `expected at most ${LABELS_PER_DEVICE_MAX}`,
    )
    .default({})
    .describe(`At most ${LABELS_PER_DEVICE_MAX}, e.g. lens: acme-2.`),
});
export type RegistrationRequest = z.output<typeof registrationSchema>;

const registeredSchema = deviceSchema.extend({
  password: z.string().describe("Shown this once; Kafka keeps only its hash."),
});
export type RegisteredDevice = z.output<typeof registeredSchema>;

const devicePatch = z.strictObject({
  labels: z
    .record(labelKey, labelValue.nullable())
    .refine((labels) => Object.keys(labels).length > 0, "expected at least one label")
    .describe("Labels to set; null removes one. Other labels stay."),
});
export type DevicePatch = z.output<typeof devicePatch>;

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
  change: route({
    method: "PATCH",
    path: "/api/v1/devices/{deviceId}",
    summary: "Changes a device's labels, as a JSON merge patch (RFC 7396) does.",
    body: devicePatch,
    response: json("The device.", deviceSchema),
    problems: [
      [400, "request-invalid"],
      [404, "device-unknown"],
      [409, "device-changing"],
      [422, "device-labels-exceeded"],
      [503, "kafka-unavailable"],
    ],
  }),
  check: route({
    method: "POST",
    path: "/api/v1/devices/{deviceId}/check",
    summary: "Requests that a device runs its golden frames now; it reports them as `reported.golden`.",
    description:
      "Answers once Kafka has the request. A device that is not connected runs them when it connects again. Its answer is a `reported.golden` with another `at` than before.",
    status: 202,
    response: json("The device.", deviceSchema),
    problems: [
      [404, "device-unknown"],
      [409, "device-revoked, device-changing"],
      [503, "kafka-unavailable"],
    ],
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
