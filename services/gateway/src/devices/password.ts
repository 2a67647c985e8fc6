/**
 * Device passwords: generated here, shown once, kept as `hmac-sha256$salt$hash` (base64). The bridge checks them.
 *
 * Nobody guesses 192 random bits, so a slow hash would protect nothing and cost a returning fleet its time (ADR 30).
 * What a person chooses must never be kept like this.
 */
import { createHmac, randomBytes } from "node:crypto";

const PASSWORD_BYTES = 24;
const SALT_BYTES = 16;

/** 192 random bits in URL-safe base64, so that it can stand in YAML, URLs and shells without quoting. */
export const generatePassword = (): string => randomBytes(PASSWORD_BYTES).toString("base64url");

export function hashGenerated(password: string): string {
  const salt = randomBytes(SALT_BYTES);
  const hash = createHmac("sha256", salt).update(password).digest();
  return ["hmac-sha256", salt.toString("base64"), hash.toString("base64")].join("$");
}
