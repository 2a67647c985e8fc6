/** Whether a request carries one of the configured bearer tokens. Compared by digest, in constant time. */
import { createHash, timingSafeEqual } from "node:crypto";

const digestOf = (text: string): Buffer => createHash("sha256").update(text).digest();

export function bearerCheck(tokens: readonly string[]): (authorization: string | undefined) => boolean {
  const known = tokens.map(digestOf);
  if (known.length === 0) return () => true;
  return (authorization) => {
    const token = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    if (token === undefined) return false;
    const given = digestOf(token);
    return known.map((digest) => timingSafeEqual(digest, given)).includes(true);
  };
}
