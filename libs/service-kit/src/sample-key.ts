/**
 * The key with which a device draws its random sample. It is derived from the device's secret record in devices.registry.v1, so
 * every reader of that topic can compute it, and a device gets it on `down/sampling`: no further secret is stored.
 */
import { createHmac } from "node:crypto";

/** `passwordHash` has a random salt and a digest in it: 48 bytes that cannot be guessed. */
export const sampleKeyOf = (deviceId: string, passwordHash: string): Buffer =>
  createHmac("sha256", passwordHash).update(`tributary sample key v1\0${deviceId}`).digest();
