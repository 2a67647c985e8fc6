/** The root: who may sign what. Its keys stay with their holders, off every server; each holder signs where the key is.
 *
 * R1. A root is published only when the threshold of the one before and its own have signed it.
 * R2. The next root has the next version; what it does not change stays. */
import { Failure, type Instant, reasonOf } from "@tributary/kernel";
import { type Key, Metadata, MetadataKind, Root } from "@tufjs/models";
import { metadataBytesMax } from "../metadata.ts";
import type { Signer } from "./keys.ts";
import { addSignature, bytesOf, signed, signedOptions } from "./sign.ts";

export const rootDefaults = { threshold: 2, keys: 3, lifetimeMs: 365 * 24 * 3_600_000 } as const;

export type OnlineRole = "targets" | "snapshot" | "timestamp";
export const onlineRoles: readonly OnlineRole[] = ["targets", "snapshot", "timestamp"];

export type RootKeys = {
  readonly root: readonly Key[];
  readonly targets: readonly Key[];
  readonly snapshot: readonly Key[];
  readonly timestamp: readonly Key[];
};

export type InitRoot = {
  readonly rootSigners: readonly Signer[];
  readonly online: Readonly<Record<OnlineRole, Key>>;
  /** How many root keys must sign a root; 2 by default. */
  readonly threshold?: number;
  readonly now: Instant;
  readonly lifetimeMs?: number;
};

/** Version 1, signed by every root key that is given. Throws Failure `tuf-root-invalid`. */
export function initRoot({ rootSigners, online, now, ...rest }: InitRoot): Uint8Array {
  const { threshold = rootDefaults.threshold, lifetimeMs = rootDefaults.lifetimeMs } = rest;
  const keys = {
    root: rootSigners.map(({ publicKey }) => publicKey),
    targets: [online.targets],
    snapshot: [online.snapshot],
    timestamp: [online.timestamp],
  };
  const bytes = signed(rootOf({ version: 1, now, lifetimeMs }, keys, threshold), rootSigners);
  checkRoot(undefined, bytes);
  return bytes;
}

export type RootChanges = Partial<RootKeys> & {
  readonly threshold?: number;
  readonly now: Instant;
  readonly lifetimeMs?: number;
};

/** The next root, unsigned (R2). Also without a change of keys: it then only expires later. */
export function proposeRoot(current: Uint8Array, changes: RootChanges): Uint8Array {
  const { signed: root } = parseRoot(current);
  const keysOf = (role: keyof RootKeys) =>
    changes[role] ?? (root.roles[role]?.keyIDs ?? []).flatMap((id) => root.keys[id] ?? []);
  const keys = {
    root: keysOf("root"),
    targets: keysOf("targets"),
    snapshot: keysOf("snapshot"),
    timestamp: keysOf("timestamp"),
  };
  const threshold = changes.threshold ?? root.roles.root?.threshold ?? rootDefaults.threshold;
  const { now, lifetimeMs = rootDefaults.lifetimeMs } = changes;
  return signed(rootOf({ version: root.version + 1, now, lifetimeMs }, keys, threshold), []);
}

/** Adds one holder's signature. */
export function signRoot(root: Uint8Array, signer: Signer): Uint8Array {
  const metadata = parseRoot(root);
  addSignature(metadata, signer);
  return bytesOf(metadata);
}

/** All of it where one person holds enough keys: propose, sign, check. */
export function rotateRoot(current: Uint8Array, changes: RootChanges, signers: readonly Signer[]): Uint8Array {
  const next = signers.reduce(signRoot, proposeRoot(current, changes));
  checkRoot(current, next);
  return next;
}

/** R1. Throws Failure `tuf-root-threshold`, which names whose signatures are missing, or `tuf-root-invalid`. */
export function checkRoot(current: Uint8Array | undefined, next: Uint8Array): Metadata<Root> {
  const root = parseRoot(next);
  const before = current === undefined ? root : parseRoot(current);
  const version = current === undefined ? root.signed.version : before.signed.version + 1;
  if (root.signed.version !== version) throw invalid(`version ${version} is needed, this is ${root.signed.version}`);
  if (!root.signed.consistentSnapshot) throw invalid("consistent_snapshot is needed");
  for (const role of ["root", ...onlineRoles] as const) {
    const { keyIDs = [], threshold = 1 } = root.signed.roles[role] ?? {};
    if (keyIDs.length < threshold) throw invalid(`${role} needs ${threshold} keys and has ${keyIDs.length}`);
  }
  for (const [whose, by] of [
    [`root ${before.signed.version}`, before],
    ["the new root itself", root],
  ] as const) {
    try {
      by.verifyDelegate(MetadataKind.Root, root);
    } catch {
      const { keyIDs = [], threshold = 0 } = by.signed.roles.root ?? {};
      const what = `${threshold} of these keys of ${whose} must sign: ${keyIDs.map((id) => id.slice(0, 8)).join(", ")}`;
      const has = Object.keys(root.signatures).map((id) => id.slice(0, 8));
      const message = `root ${root.signed.version}: ${what}; signatures are by ${has.join(", ") || "nobody"}`;
      throw new Failure("tuf-root-threshold", "ask-a-person", message);
    }
  }
  return root;
}

export function parseRoot(bytes: Uint8Array): Metadata<Root> {
  if (bytes.length > metadataBytesMax.root) throw invalid(`${bytes.length} bytes, at most ${metadataBytesMax.root}`);
  try {
    return Metadata.fromJSON(MetadataKind.Root, JSON.parse(new TextDecoder().decode(bytes)));
  } catch (error) {
    throw invalid(reasonOf(error));
  }
}

function rootOf(
  common: { version: number; now: Instant; lifetimeMs: number },
  keys: RootKeys,
  threshold: number,
): Root {
  const root = new Root({ ...signedOptions(common), consistentSnapshot: true });
  for (const role of ["root", ...onlineRoles] as const) for (const key of keys[role]) root.addKey(key, role);
  const of = root.roles.root;
  if (of !== undefined) Object.assign(of, { threshold }); // The models' constructor gives 1.
  return root;
}

const invalid = (what: string) => new Failure("tuf-root-invalid", "ask-a-person", `root metadata: ${what}`);
