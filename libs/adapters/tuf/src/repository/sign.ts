/** Metadata of each role as bytes: everything is an argument. Expiry and time are whole seconds. */
import { createHash } from "node:crypto";
import type { ListedModel } from "@tributary/inference";
import type { Digest, Instant } from "@tributary/kernel";
import { Metadata, MetaFile, Root, Signature, Snapshot, TargetFile, Targets, Timestamp } from "@tufjs/models";
import { SIGNED_AT, timeText } from "../metadata.ts";
import { targetPath } from "../target.ts";
import type { Signer } from "./keys.ts";

const SPECIFICATION = "1.0.31";

export type Common = { readonly version: number; readonly now: Instant; readonly lifetimeMs: number };
/** A file of metadata that another one names. */
export type Named = { readonly version: number; readonly bytes: Uint8Array };

export const targetsBytes = (
  { targets, ...common }: Common & { readonly targets: ReadonlyMap<Digest, ListedModel> },
  signers: readonly Signer[],
): Uint8Array => {
  const entries = [...targets].sort(([a], [b]) => (a < b ? -1 : 1)).map(([digest, model]) => entryOf(digest, model));
  return signed(new Targets({ ...signedOptions(common), targets: Object.fromEntries(entries) }), signers);
};

export const snapshotBytes = (
  { targets, ...common }: Common & { readonly targets: Named },
  signers: readonly Signer[],
): Uint8Array =>
  signed(new Snapshot({ ...signedOptions(common), meta: { "targets.json": metaFile(targets) } }), signers);

export const timestampBytes = (
  { snapshot, ...common }: Common & { readonly snapshot: Named },
  signers: readonly Signer[],
): Uint8Array => signed(new Timestamp({ ...signedOptions(common), snapshotMeta: metaFile(snapshot) }), signers);

export const signedOptions = ({ version, now, lifetimeMs }: Common) => ({
  version,
  specVersion: SPECIFICATION,
  expires: timeText(now + lifetimeMs),
  unrecognizedFields: { [SIGNED_AT]: timeText(now) },
});

export function signed(part: Root | Targets | Snapshot | Timestamp, signers: readonly Signer[]): Uint8Array {
  const metadata = new Metadata(part);
  for (const signer of signers) addSignature(metadata, signer);
  return bytesOf(metadata);
}

export const addSignature = (metadata: Metadata<Root | Targets | Snapshot | Timestamp>, signer: Signer): void =>
  metadata.sign((bytes) => new Signature({ keyID: signer.publicKey.keyID, sig: signer.sign(bytes) }));

export const bytesOf = (metadata: Metadata<Root | Targets | Snapshot | Timestamp>): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(metadata.toJSON()));

function entryOf(digest: Digest, model: ListedModel): [string, TargetFile] {
  const { manifestBytes, name, version, hardwareClass, packageBytes } = model;
  const path = targetPath(digest);
  const unrecognizedFields = { custom: { name, version, hardwareClass, packageBytes } };
  return [path, new TargetFile({ path, length: manifestBytes, hashes: { sha256: digest }, unrecognizedFields })];
}

const metaFile = ({ version, bytes }: Named): MetaFile =>
  new MetaFile({ version, length: bytes.length, hashes: { sha256: createHash("sha256").update(bytes).digest("hex") } });
