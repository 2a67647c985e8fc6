/** Building blocks of attacks: changed and re-signed documents, stolen keys, an attacker's server. */
import type { Digest, Instant, Random } from "@tributary/kernel";
import type { OnlineRole, Signer } from "@tributary/tuf/repository";
import type { Answer, Attack } from "../device.ts";
import { altered, type Edit, forged, type JsonObject } from "../forge.ts";
import {
  type Bundle,
  DAY_MS,
  type Files,
  HARDWARE,
  HOUR_MS,
  type Moment,
  type Online,
  pick,
  sha256,
  upTo,
  type World,
} from "../world.ts";

export type Variant = {
  readonly name: string;
  readonly make: (world: World, random: Random) => Attack;
  /** By TUF's own model these keys are enough; what stops the thief is the next root. */
  readonly permitted?: true;
};
export type AttackClass = { readonly name: string; readonly variants: readonly Variant[] };

// How a role's document is signed after it was changed.
export type Sign = (bytes: Uint8Array, edit: Edit) => Uint8Array;
export const by =
  (...signers: readonly Signer[]): Sign =>
  (bytes, edit) =>
    forged(bytes, edit, signers);

export const kept: Sign = altered;

export type SignEach = Readonly<Record<OnlineRole, Sign>>;
export const each = (sign: Sign): SignEach => ({ targets: sign, snapshot: sign, timestamp: sign });
export const byRole = (keys: Online): SignEach => ({
  targets: by(keys.targets),
  snapshot: by(keys.snapshot),
  timestamp: by(keys.timestamp),
});

export const timeText = (instant: Instant): string => `${new Date(instant).toISOString().slice(0, 19)}Z`;
export const lasting =
  (version: number, at: Instant, more: Edit = () => {}, days = 80): Edit =>
  (signed) => {
    signed.version = version;
    signed.expires = timeText(at + days * DAY_MS);
    signed["x-signed-at"] = timeText(at);
    more(signed);
  };
export const metaOf = (version: number, bytes: Uint8Array, more: JsonObject = {}): JsonObject => ({
  version,
  length: bytes.length,
  hashes: { sha256: sha256(bytes) },
  ...more,
});

export const fileOf = (role: OnlineRole, version: number) =>
  role === "timestamp" ? "timestamp.json" : `${version}.${role}.json`;
export const documentOf = (moment: Moment, role: OnlineRole): Uint8Array =>
  moment.files.get(fileOf(role, moment.versions[role])) as Uint8Array;

type Document = { readonly version: number; readonly bytes: Uint8Array };
type Documents = Readonly<Record<OnlineRole, Document>>;

/** A new timestamp, and what is new below it. `base`: the moment whose documents are changed. */
export function chain(
  base: Moment,
  at: Instant,
  sign: SignEach,
  { from = "targets", bump = 1, edit }: ChainOptions = {},
): Documents {
  const next = (role: OnlineRole) => base.versions[role] + bump;
  let targets = { version: base.versions.targets, bytes: documentOf(base, "targets") };
  if (from === "targets") {
    targets = { version: next("targets"), bytes: sign.targets(targets.bytes, lasting(next("targets"), at, edit)) };
  }
  let snapshot = { version: base.versions.snapshot, bytes: documentOf(base, "snapshot") };
  if (from !== "timestamp") {
    const names: Edit = (signed) => {
      signed.meta = { "targets.json": metaOf(targets.version, targets.bytes) };
    };
    const version = next("snapshot");
    snapshot = {
      version,
      bytes: sign.snapshot(snapshot.bytes, lasting(version, at, from === "snapshot" && edit ? edit : names)),
    };
  }
  const names: Edit = (signed) => {
    signed.meta = { "snapshot.json": metaOf(snapshot.version, snapshot.bytes) };
  };
  const version = next("timestamp");
  const more = from === "timestamp" && edit ? edit : names;
  const timestamp = { version, bytes: sign.timestamp(documentOf(base, "timestamp"), lasting(version, at, more)) };
  return { targets, snapshot, timestamp };
}
type ChainOptions = { readonly from?: OnlineRole; readonly bump?: number; readonly edit?: Edit };

export const filesOf = (documents: Partial<Documents>): Files =>
  new Map(
    (Object.keys(documents) as OnlineRole[]).map((role) => {
      const { version, bytes } = documents[role] as Document;
      return [fileOf(role, version), bytes];
    }),
  );

/** The honest registry's files, and over them the attacker's. */
export const served =
  (honest: Files, ...mine: readonly Files[]) =>
  (file: string): Answer =>
    mine.map((files) => files.get(file)).find((bytes) => bytes !== undefined) ?? honest.get(file);

const entryOf = ({ digest, listed }: Bundle, hardwareClass = listed.hardwareClass): JsonObject => {
  const { manifestBytes, name, version, packageBytes } = listed;
  return { length: manifestBytes, hashes: { sha256: digest }, custom: { name, version, hardwareClass, packageBytes } };
};
export const listing =
  (bundle: Bundle, hardwareClass?: string): Edit =>
  (signed) => {
    signed.targets = { ...(signed.targets as JsonObject), [`${bundle.digest}.json`]: entryOf(bundle, hardwareClass) };
  };

type Base = Omit<Attack, "wants">;
/** Somewhere in the hour after the last change, a device that has seen any moment, or none; nothing is wrong yet. */
export function base(world: World, random: Random, seen = upTo(world.moments.length + 1, random) - 1): Base {
  const { present, blobs } = world;
  const at = present.at + upTo(HOUR_MS, random);
  return { stolen: [], at, seen, metadata: served(present.files), blob: (digest) => blobs.get(digest) };
}
export const newest = (world: World): number => world.moments.length - 1;

/** A model that was listed and is not any more, and a moment when it still was. */
export function delisted(world: World, random: Random): { bundle: Bundle; when: number; moment: Moment } {
  const { moments, present } = world;
  const candidates = moments.flatMap(({ listed }, when) =>
    [...listed.keys()].filter((digest) => !present.listed.has(digest)).map((digest) => ({ digest, when })),
  );
  const { digest, when } = pick(candidates, random);
  return { bundle: world.bundles.get(digest) as Bundle, when, moment: moments[when] as Moment };
}

/** A model that this hardware may run. */
export const good = (world: World, random: Random): Bundle => {
  const { present, bundles } = world;
  const fitting = [...present.listed].filter(([, { hardwareClass }]) => hardwareClass === HARDWARE);
  return bundles.get(pick(fitting, random)[0]) as Bundle;
};
export const other = (world: World): Bundle =>
  [...world.bundles.values()].find(({ listed }) => listed.hardwareClass !== HARDWARE) as Bundle;

/** Online keys: the named are stolen, the others are the attacker's own. */
export const stolenOf = (world: World, ...stolen: readonly OnlineRole[]): Online => {
  const keyOf = (role: OnlineRole) => (stolen.includes(role) ? world.keys.online : world.foreign.online)[role];
  return { targets: keyOf("targets"), snapshot: keyOf("snapshot"), timestamp: keyOf("timestamp") };
};

export const spoof = (name: string, stolen: readonly string[], sign: (world: World) => SignEach): Variant => ({
  name,
  make: (world, random) => {
    const from = base(world, random);
    const { present, evil } = world;
    const files = filesOf(chain(present, from.at, sign(world), { edit: listing(evil) }));
    return { ...from, stolen, wants: evil.digest, metadata: served(present.files, files) };
  },
});

/** A device that saw the old moment, or is new. */
export const sawOrNew = (when: number, random: Random): number => (random() < 0.5 ? when : -1);

export const namesTargetsOf =
  (moment: Moment): Edit =>
  (signed) => {
    signed.meta = { "targets.json": metaOf(moment.versions.targets, documentOf(moment, "targets")) };
  };

export const refreshedBy = (world: World, at: Instant, ...stolen: readonly OnlineRole[]) =>
  served(
    world.present.files,
    filesOf(chain(world.present, at, byRole(stolenOf(world, ...stolen)), { from: "timestamp" })),
  );

/** A manifest that the attacker wrote, listed by an attacker who holds the targets' key alone. */
export const listedByThief = (
  name: string,
  write: (world: World, random: Random) => { manifest: Uint8Array; blobs: Files },
): Variant => ({
  name,
  make: (world, random) => {
    const from = base(world, random, upTo(newest(world), random) - 1);
    const { manifest, blobs } = write(world, random);
    const digest = sha256(manifest);
    const parsed = JSON.parse(new TextDecoder().decode(manifest));
    const packageBytes = Object.values(parsed.files as Record<string, { bytes: number }>).reduce(
      (sum, { bytes }) => sum + bytes,
      0,
    );
    const listed = {
      ...good(world, random).listed,
      version: parsed.version,
      packageBytes,
      manifestBytes: manifest.length,
    };
    const bundle = { digest, manifest, files: new Map(), listed };
    const version = world.present.versions.targets;
    const sign = by(world.keys.online.targets);
    const bytes = sign(documentOf(world.present, "targets"), lasting(version, from.at, listing(bundle)));
    const mine = new Map([[fileOf("targets", version), bytes]]);
    const blob = (asked: Digest) => (asked === digest ? manifest : (blobs.get(asked) ?? from.blob(asked)));
    return { ...from, stolen: ["targets"], wants: digest, metadata: served(world.present.files, mine), blob };
  },
});

export const rewritten = (
  bundle: Bundle,
  edit: (manifest: { files: Record<string, JsonObject>; metrics: JsonObject }) => void,
): Uint8Array => {
  const manifest = JSON.parse(new TextDecoder().decode(bundle.manifest));
  edit(manifest);
  return new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`);
};

export const padded = (bytes: Uint8Array, by: number): Uint8Array => Buffer.concat([bytes, Buffer.alloc(by, " ")]);
