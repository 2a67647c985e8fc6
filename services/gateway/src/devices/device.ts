import { isValidId } from "@tributary/kernel";
import { z } from "zod";
import { updateSchema } from "../rollouts/arms.ts";

export const throttleSchema = z.object({
  by: z.string().describe("bridge or router."),
  reason: z
    .string()
    .describe("The limit that it exceeds, e.g. messages, bytes, dead-letters, subscriptions, budget, draws."),
  since: z.string(),
  count: z.number().describe("How often it was held back since."),
});
export type Throttle = z.output<typeof throttleSchema>;

/** A device as the public API shows it: never its password's hash. */
export const deviceSchema = z.object({
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
    .describe("What it runs, by its own word; null until it reports."),
});
export type Device = z.output<typeof deviceSchema>;

export const registrationSchema = z.strictObject({
  deviceId: z
    .string()
    .refine(isValidId, "expected a letter or digit, then up to 63 letters, digits, dashes and underscores"),
  hardwareClass: z.string().max(64).default("unknown").describe("E.g. rpi4, rpi5, x64."),
  site: z.string().max(256).default("").describe("Where it stands."),
});
export type RegistrationRequest = z.output<typeof registrationSchema>;

export const registeredSchema = deviceSchema.extend({
  password: z.string().describe("Shown this once; Kafka keeps only its hash."),
});

export const deviceQuerySchema = z.strictObject({
  status: z.enum(["ACTIVE", "REVOKED"]).optional(),
  site: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(1_000).default(1_000),
  after: z.string().optional().describe("Only devices whose id comes after this one: `next` of the page before."),
});
export type DeviceQuery = z.output<typeof deviceQuerySchema>;

export const devicePageSchema = z.object({
  items: z.array(deviceSchema),
  next: z.string().nullable().describe("The next page's `after`; null: this was the last."),
});
export type DevicePage = z.output<typeof devicePageSchema>;
