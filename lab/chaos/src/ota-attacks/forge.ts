/** An attacker's tools: metadata decoded, changed and signed again with any keys. They share no code
 * with the verifier: the canonical form is implemented here again. */
import type { Signer } from "@tributary/tuf/repository";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };
export type Envelope = { signed: JsonObject; signatures: { keyid: string; sig: string }[] };

export const opened = (bytes: Uint8Array): Envelope => JSON.parse(new TextDecoder().decode(bytes));
export const closed = (envelope: Envelope): Uint8Array => new TextEncoder().encode(JSON.stringify(envelope));

export type Edit = (signed: JsonObject) => void;

/** The same document after `edit`, signed by `signers`; `as`: under these key ids instead of their own. */
export function forged(bytes: Uint8Array, edit: Edit, signers: readonly Signer[], as?: readonly string[]): Uint8Array {
  const { signed } = opened(bytes);
  edit(signed);
  return signedBy(signed, signers, as);
}

export function signedBy(signed: JsonObject, signers: readonly Signer[], as?: readonly string[]): Uint8Array {
  const message = new TextEncoder().encode(canonical(signed));
  const signatures = signers.map((signer, i) => ({
    keyid: as?.[i] ?? signer.publicKey.keyID,
    sig: signer.sign(message),
  }));
  return closed({ signed, signatures });
}

/** Changed, under the signatures that it had. */
export function altered(bytes: Uint8Array, edit: Edit): Uint8Array {
  const envelope = opened(bytes);
  edit(envelope.signed);
  return closed(envelope);
}

/** http://wiki.laptop.org/go/Canonical_JSON, as TUF uses it. */
export function canonical(value: Json): string {
  if (typeof value === "string") return `"${value.replace(/[\\"]/g, "\\$&")}"`;
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.keys(value)
    .sort()
    .map((key) => `${canonical(key)}:${canonical(value[key] as Json)}`);
  return `{${entries.join(",")}}`;
}
