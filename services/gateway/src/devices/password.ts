/** Device passwords: generated here, shown once, kept as `scrypt$N$r$p$salt$hash` (base64). The bridge checks them. */
import { randomBytes, type ScryptOptions, scrypt } from "node:crypto";

const N = 16_384;
const R = 8;
const P = 1;
const PASSWORD_BYTES = 24;
const SALT_BYTES = 16;
const HASH_BYTES = 32;

/** 192 random bits in URL-safe base64, so that it can stand in YAML, URLs and shells without quoting. */
export const generatePassword = (): string => randomBytes(PASSWORD_BYTES).toString("base64url");

export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, salt, { N, r: R, p: P });
  return ["scrypt", N, R, P, salt.toString("base64"), hash.toString("base64")].join("$");
}

const derive = (password: string, salt: Buffer, options: ScryptOptions): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    scrypt(password, salt, HASH_BYTES, options, (error, hash) => (error ? reject(error) : resolve(hash)));
  });
