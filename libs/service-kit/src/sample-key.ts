/**
 * The key that a device draws its random sample by. It is made of what the registry knows of the device and nobody else does,
 * so every reader of devices.registry.v1 can compute it, and a device gets it on `down/sampling`: no further secret to keep.
 */
import { createHmac } from "node:crypto";

/** `passwordHash` has a random salt and a digest in it: 48 bytes that nobody can guess. */
export const sampleKeyOf = (deviceId: string, passwordHash: string): Buffer =>
  createHmac("sha256", passwordHash).update(`tributary sample key v1\0${deviceId}`).digest();
