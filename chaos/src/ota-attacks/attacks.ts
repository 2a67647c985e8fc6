/** The attacks: Uptane's list (its "Deployment Considerations" name them: read, drop, slow retrieval, freeze, partial and mixed
 * bundles, rollback, endless data, mix-and-match, arbitrary software), wrong hardware, fast-forward, time, and stolen keys. Reading
 * is not among them: TUF hides nothing, TLS does.
 *
 * Each variant says which keys were stolen, and is a way to the same harm for a device that believes everything. */
import type { Digest, Instant, Random } from "@tributary/kernel";
import { roles } from "@tributary/tuf";
import type { OnlineRole, Signer } from "@tributary/tuf/repository";
import { type Answer, type Attack, FAR_VERSION, SLOW_MS_EACH_MAX } from "./device.ts";
import { altered, closed, type Edit, forged, type JsonObject, opened, signedBy } from "./forge.ts";
import {
  type Bundle,
  DAY_MS,
  type Files,
  HARDWARE,
  HOUR_MS,
  LATER_MS,
  type Moment,
  type Online,
  pick,
  sha256,
  upTo,
  type World,
} from "./world.ts";

export type Variant = {
  readonly name: string;
  readonly make: (world: World, random: Random) => Attack;
  /** By TUF's own model these keys are enough; what stops the thief is the next root. */
  readonly permitted?: true;
};
export type AttackClass = { readonly name: string; readonly variants: readonly Variant[] };

// How a role's document is signed after it was changed.
type Sign = (bytes: Uint8Array, edit: Edit) => Uint8Array;
const by =
  (...signers: readonly Signer[]): Sign =>
  (bytes, edit) =>
    forged(bytes, edit, signers);
const under =
  (signer: Signer, id: Signer): Sign =>
  (bytes, edit) =>
    forged(bytes, edit, [signer], [id.publicKey.keyID]);
const kept: Sign = altered;
const unsigned: Sign = by();
const noise: Sign = (bytes, edit) => {
  const envelope = opened(altered(bytes, edit));
  for (const signature of envelope.signatures)
    signature.sig = sha256(new TextEncoder().encode(signature.sig)).repeat(2);
  return closed(envelope);
};
type SignEach = Readonly<Record<OnlineRole, Sign>>;
const each = (sign: Sign): SignEach => ({ targets: sign, snapshot: sign, timestamp: sign });
const byRole = (keys: Online): SignEach => ({
  targets: by(keys.targets),
  snapshot: by(keys.snapshot),
  timestamp: by(keys.timestamp),
});

const timeText = (instant: Instant): string => `${new Date(instant).toISOString().slice(0, 19)}Z`;
const lasting =
  (version: number, at: Instant, more: Edit = () => {}, days = 80): Edit =>
  (signed) => {
    signed.version = version;
    signed.expires = timeText(at + days * DAY_MS);
    signed["x-signed-at"] = timeText(at);
    more(signed);
  };
const metaOf = (version: number, bytes: Uint8Array, more: JsonObject = {}): JsonObject => ({
  ...{ version, length: bytes.length, hashes: { sha256: sha256(bytes) } },
  ...more,
});

const fileOf = (role: OnlineRole, version: number) =>
  role === "timestamp" ? "timestamp.json" : `${version}.${role}.json`;
const documentOf = (moment: Moment, role: OnlineRole): Uint8Array =>
  moment.files.get(fileOf(role, moment.versions[role])) as Uint8Array;

type Document = { readonly version: number; readonly bytes: Uint8Array };
type Documents = Readonly<Record<OnlineRole, Document>>;

/** A new timestamp, and what is new below it. `base`: the moment whose documents are changed. */
function chain(
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

const filesOf = (documents: Partial<Documents>): Files =>
  new Map(
    (Object.keys(documents) as OnlineRole[]).map((role) => {
      const { version, bytes } = documents[role] as Document;
      return [fileOf(role, version), bytes];
    }),
  );

/** The honest registry's files, and over them the attacker's. */
const served =
  (honest: Files, ...mine: readonly Files[]) =>
  (file: string): Answer =>
    mine.map((files) => files.get(file)).find((bytes) => bytes !== undefined) ?? honest.get(file);

const entryOf = ({ digest, listed }: Bundle, hardwareClass = listed.hardwareClass): JsonObject => {
  const { manifestBytes, name, version, packageBytes } = listed;
  return { length: manifestBytes, hashes: { sha256: digest }, custom: { name, version, hardwareClass, packageBytes } };
};
const listing =
  (bundle: Bundle, hardwareClass?: string): Edit =>
  (signed) => {
    signed.targets = { ...(signed.targets as JsonObject), [`${bundle.digest}.json`]: entryOf(bundle, hardwareClass) };
  };

type Base = Omit<Attack, "wants">;
/** Somewhere in the hour after the last change, a device that has seen any moment, or none; nothing is wrong yet. */
function base(world: World, random: Random, seen = upTo(world.moments.length + 1, random) - 1): Base {
  const { present, blobs } = world;
  const at = present.at + upTo(HOUR_MS, random);
  return { stolen: [], at, seen, metadata: served(present.files), blob: (digest) => blobs.get(digest) };
}
const newest = (world: World): number => world.moments.length - 1;

/** A model that was listed and is not any more, and a moment when it still was. */
function gone(world: World, random: Random): { bundle: Bundle; when: number; moment: Moment } {
  const { moments, present } = world;
  const candidates = moments.flatMap(({ listed }, when) =>
    [...listed.keys()].filter((digest) => !present.listed.has(digest)).map((digest) => ({ digest, when })),
  );
  const { digest, when } = pick(candidates, random);
  return { bundle: world.bundles.get(digest) as Bundle, when, moment: moments[when] as Moment };
}

/** A model that this hardware may run. */
const good = (world: World, random: Random): Bundle => {
  const { present, bundles } = world;
  const fitting = [...present.listed].filter(([, { hardwareClass }]) => hardwareClass === HARDWARE);
  return bundles.get(pick(fitting, random)[0]) as Bundle;
};
const other = (world: World): Bundle =>
  [...world.bundles.values()].find(({ listed }) => listed.hardwareClass !== HARDWARE) as Bundle;

/** Online keys: the named are stolen, the others are the attacker's own. */
const stolenOf = (world: World, ...stolen: readonly OnlineRole[]): Online => {
  const keyOf = (role: OnlineRole) => (stolen.includes(role) ? world.keys.online : world.foreign.online)[role];
  return { targets: keyOf("targets"), snapshot: keyOf("snapshot"), timestamp: keyOf("timestamp") };
};

const spoof = (name: string, stolen: readonly string[], sign: (world: World) => SignEach): Variant => ({
  name,
  make: (world, random) => {
    const from = base(world, random);
    const { present, evil } = world;
    const files = filesOf(chain(present, from.at, sign(world), { edit: listing(evil) }));
    return { ...from, stolen, wants: evil.digest, metadata: served(present.files, files) };
  },
});

/** The attacker's own root 2, naming the attacker's keys for everything. */
const spoofRoot = (
  name: string,
  stolen: readonly string[],
  sign: (world: World, root: JsonObject) => Uint8Array,
  threshold = 2,
): Variant => ({
  name,
  make: (world, random) => {
    const from = base(world, random);
    const { present, evil, foreign } = world;
    const { signed } = opened(present.files.get("1.root.json") as Uint8Array);
    const roleOf = (keys: readonly Signer[], needed: number) => ({
      keyids: keys.map(({ publicKey }) => publicKey.keyID),
      threshold: needed,
    });
    const all = [...foreign.root, ...Object.values(foreign.online)];
    signed.version = 2;
    signed.keys = Object.fromEntries(all.map(({ publicKey }) => [publicKey.keyID, publicKey.toJSON() as JsonObject]));
    signed.roles = {
      root: roleOf(foreign.root, threshold),
      targets: roleOf([foreign.online.targets], 1),
      snapshot: roleOf([foreign.online.snapshot], 1),
      timestamp: roleOf([foreign.online.timestamp], 1),
    };
    const files = filesOf(chain(present, from.at, byRole(foreign.online), { edit: listing(evil) }));
    const root = new Map([["2.root.json", sign(world, signed)]]);
    return { ...from, stolen, wants: evil.digest, metadata: served(present.files, files, root) };
  },
});

const idsOf = (signers: readonly Signer[]): readonly string[] => signers.map(({ publicKey }) => publicKey.keyID);

const spoofed: AttackClass = {
  name: "arbitrary software",
  variants: [
    spoof("signed by the attacker's own keys", [], (world) => byRole(world.foreign.online)),
    spoof("own keys under the honest ids", [], ({ keys, foreign }) => ({
      targets: under(foreign.online.targets, keys.online.targets),
      snapshot: under(foreign.online.snapshot, keys.online.snapshot),
      timestamp: under(foreign.online.timestamp, keys.online.timestamp),
    })),
    spoof("honest signatures on other content", [], () => each(kept)),
    spoof("no signatures", [], () => each(unsigned)),
    spoof("noise for signatures", [], () => each(noise)),
    spoof("one stolen key signs for every role", ["timestamp"], ({ keys }) => each(by(keys.online.timestamp))),
    spoof("snapshot's key signs for every role", ["snapshot"], ({ keys }) => each(by(keys.online.snapshot))),
    spoof("list unsigned below good snapshot and timestamp", ["snapshot", "timestamp"], (world) =>
      byRole(stolenOf(world, "snapshot", "timestamp")),
    ),
    spoof("a good list that no good snapshot names", ["targets"], (world) => byRole(stolenOf(world, "targets"))),
    spoof("good list and snapshot, own timestamp", ["targets", "snapshot"], (world) =>
      byRole(stolenOf(world, "targets", "snapshot")),
    ),
    spoof("good list and timestamp, own snapshot", ["targets", "timestamp"], (world) =>
      byRole(stolenOf(world, "targets", "timestamp")),
    ),
    spoofRoot("own root", [], ({ foreign }, root) => signedBy(root, foreign.root)),
    spoofRoot("own root under the honest ids", [], ({ foreign, keys }, root) =>
      signedBy(root, foreign.root, idsOf(keys.root)),
    ),
    spoofRoot("root by one stolen root key and own ones", ["one root key"], ({ keys, foreign }, root) =>
      signedBy(root, [keys.root[0] as Signer, ...foreign.root]),
    ),
    spoofRoot(
      "root with threshold 1 by one stolen root key",
      ["one root key"],
      ({ keys, foreign }, root) => signedBy(root, [keys.root[0] as Signer, foreign.root[0] as Signer]),
      1,
    ),
    spoofRoot("one stolen root key under all three ids", ["one root key"], ({ keys, foreign }, root) => {
      const [stolen] = keys.root as [Signer];
      return signedBy(root, [stolen, stolen, stolen, ...foreign.root], [...idsOf(keys.root), ...idsOf(foreign.root)]);
    }),
    spoofRoot("root by all stolen online keys", ["targets", "snapshot", "timestamp"], ({ keys, foreign }, root) =>
      signedBy(root, [...Object.values(keys.online), ...foreign.root]),
    ),
  ],
};

const ENDLESS = { endless: true } as const;
const padded = (bytes: Uint8Array, by: number): Uint8Array => Buffer.concat([bytes, Buffer.alloc(by, " ")]);
const roleOfFile = (file: string) => roles.find((role) => file.endsWith(`${role}.json`));

const endless: AttackClass = {
  name: "endless data",
  variants: [
    {
      name: "any role's file never ends",
      make: (world, random) => {
        const from = base(world, random, upTo(newest(world), random) - 1);
        const role = pick(roles, random);
        const metadata = (file: string) => (roleOfFile(file) === role ? ENDLESS : from.metadata(file));
        return { ...from, wants: good(world, random).digest, metadata };
      },
    },
    {
      name: "a signed file with megabytes of blanks behind it",
      make: (world, random) => {
        const from = base(world, random, upTo(newest(world), random) - 1);
        const role = pick(["timestamp", "snapshot", "targets"] as const, random);
        const bytes = (1 + upTo(3, random)) * (1 << 20);
        const metadata = (file: string) => {
          const answer = from.metadata(file);
          return roleOfFile(file) === role && answer instanceof Uint8Array ? padded(answer, bytes) : answer;
        };
        return { ...from, wants: good(world, random).digest, metadata };
      },
    },
    {
      name: "the manifest never ends",
      make: (world, random) => ({ ...base(world, random), wants: good(world, random).digest, blob: () => ENDLESS }),
    },
    {
      name: "a file of the package never ends",
      make: (world, random) => {
        const from = base(world, random);
        const { digest, files } = good(world, random);
        const hit = sha256(pick([...files.values()], random));
        return { ...from, wants: digest, blob: (asked) => (asked === hit ? ENDLESS : from.blob(asked)) };
      },
    },
    {
      name: "a signed timestamp that promises a terabyte of snapshot",
      make: (world, random) => {
        const from = base(world, random);
        const version = world.present.versions.snapshot + 1;
        const edit: Edit = (signed) => {
          signed.meta = { "snapshot.json": { version, length: 1e12 } };
        };
        const made = chain(world.present, from.at, byRole(stolenOf(world, "timestamp")), { from: "timestamp", edit });
        const mine = served(world.present.files, filesOf(made));
        const metadata = (file: string) => (file === fileOf("snapshot", version) ? ENDLESS : mine(file));
        return { ...from, stolen: ["timestamp"], wants: good(world, random).digest, metadata };
      },
    },
    {
      name: "a signed snapshot that promises a terabyte of targets",
      make: (world, random) => {
        const from = base(world, random);
        const version = world.present.versions.targets + 1;
        const edit: Edit = (signed) => {
          signed.meta = { "targets.json": { version, length: 1e12 } };
        };
        const sign = byRole(stolenOf(world, "timestamp", "snapshot"));
        const made = chain(world.present, from.at, sign, { from: "snapshot", edit });
        const mine = served(world.present.files, filesOf(made));
        const metadata = (file: string) => (file === fileOf("targets", version) ? ENDLESS : mine(file));
        return { ...from, stolen: ["timestamp", "snapshot"], wants: good(world, random).digest, metadata };
      },
    },
  ],
};

/** A device that saw the old moment, or is new. */
const sawOrNew = (when: number, random: Random): number => (random() < 0.5 ? when : -1);

const freeze: AttackClass = {
  name: "freeze",
  variants: [
    {
      name: "an expired set, replayed",
      make: (world, random) => {
        const { bundle, when, moment } = gone(world, random);
        const at = moment.at + (1 + 250 * random()) * DAY_MS;
        return {
          ...base(world, random, sawOrNew(when, random)),
          at,
          wants: bundle.digest,
          metadata: served(moment.files),
        };
      },
    },
    {
      name: "an expired set with its expiry written anew",
      make: (world, random) => {
        const { bundle, when, moment } = gone(world, random);
        const at = moment.at + (1 + 250 * random()) * DAY_MS;
        const made = chain(moment, at, each(kept));
        const metadata = served(moment.files, filesOf(made));
        return { ...base(world, random, sawOrNew(when, random)), at, wants: bundle.digest, metadata };
      },
    },
    {
      name: "fresh timestamps for a snapshot that has expired",
      make: (world, random) => {
        const { bundle, when, moment } = gone(world, random);
        const at = moment.at + (7 + 240 * random()) * DAY_MS;
        const made = chain(moment, at, byRole(stolenOf(world, "timestamp")), { from: "timestamp" });
        const metadata = served(moment.files, filesOf(made));
        return {
          ...base(world, random, sawOrNew(when, random)),
          at,
          stolen: ["timestamp"],
          wants: bundle.digest,
          metadata,
        };
      },
    },
    {
      name: "fresh snapshots below an expired timestamp",
      make: (world, random) => {
        const { bundle, when, moment } = gone(world, random);
        const at = moment.at + (1 + 80 * random()) * DAY_MS;
        const sign = { ...byRole(stolenOf(world, "snapshot")), timestamp: kept };
        const made = chain(moment, at, sign, { from: "snapshot" });
        const metadata = served(moment.files, filesOf(made));
        return {
          ...base(world, random, sawOrNew(when, random)),
          at,
          stolen: ["snapshot"],
          wants: bundle.digest,
          metadata,
        };
      },
    },
    {
      name: "fresh timestamps and snapshots for targets that have expired",
      make: (world, random) => {
        const { bundle, when, moment } = gone(world, random);
        const at = moment.at + (90 + 160 * random()) * DAY_MS;
        const sign = byRole(stolenOf(world, "timestamp", "snapshot"));
        const made = chain(moment, at, sign, { from: "snapshot" });
        const stolen = ["timestamp", "snapshot"];
        const metadata = served(moment.files, filesOf(made));
        return { ...base(world, random, sawOrNew(when, random)), at, stolen, wants: bundle.digest, metadata };
      },
    },
  ],
};

/** A device that has seen more than the moment it is to be led back to. */
const sawMore = (world: World, when: number, random: Random): number => when + 1 + upTo(newest(world) - when, random);

const namesSnapshotOf =
  (moment: Moment): Edit =>
  (signed) => {
    signed.meta = { "snapshot.json": metaOf(moment.versions.snapshot, documentOf(moment, "snapshot")) };
  };
const namesTargetsOf =
  (moment: Moment): Edit =>
  (signed) => {
    signed.meta = { "targets.json": metaOf(moment.versions.targets, documentOf(moment, "targets")) };
  };

const rollback: AttackClass = {
  name: "rollback of metadata",
  variants: [
    {
      name: "an older set",
      make: (world, random) => {
        const { bundle, when, moment } = gone(world, random);
        const from = base(world, random, sawMore(world, when, random));
        return { ...from, wants: bundle.digest, metadata: served(moment.files) };
      },
    },
    {
      name: "an older set, and root 1 as root 2",
      make: (world, random) => {
        const { bundle, when, moment } = gone(world, random);
        const from = base(world, random, sawMore(world, when, random));
        const root = new Map([["2.root.json", moment.files.get("1.root.json") as Uint8Array]]);
        return { ...from, wants: bundle.digest, metadata: served(moment.files, root) };
      },
    },
    {
      name: "a new timestamp for an older snapshot",
      make: (world, random) => {
        const { bundle, when, moment } = gone(world, random);
        const from = base(world, random, sawMore(world, when, random));
        const edit = namesSnapshotOf(moment);
        const made = chain(world.present, from.at, byRole(stolenOf(world, "timestamp")), { from: "timestamp", edit });
        const metadata = served(moment.files, filesOf({ timestamp: made.timestamp }));
        return { ...from, stolen: ["timestamp"], wants: bundle.digest, metadata };
      },
    },
    {
      name: "another timestamp of the version that was seen",
      make: (world, random) => {
        const { bundle, moment } = gone(world, random);
        const from = base(world, random, newest(world));
        const edit = namesSnapshotOf(moment);
        const sign = byRole(stolenOf(world, "timestamp"));
        const made = chain(world.present, from.at, sign, { from: "timestamp", edit, bump: 0 });
        const metadata = served(moment.files, filesOf({ timestamp: made.timestamp }));
        return { ...from, stolen: ["timestamp"], wants: bundle.digest, metadata };
      },
    },
    {
      name: "a new snapshot for older targets",
      make: (world, random) => {
        const { bundle, when, moment } = gone(world, random);
        const from = base(world, random, sawMore(world, when, random));
        const edit = namesTargetsOf(moment);
        const sign = byRole(stolenOf(world, "timestamp", "snapshot"));
        const made = chain(world.present, from.at, sign, { from: "snapshot", edit });
        const metadata = served(
          moment.files,
          filesOf(made),
          new Map([...moment.files].filter(([n]) => n.endsWith("targets.json"))),
        );
        return { ...from, stolen: ["timestamp", "snapshot"], wants: bundle.digest, metadata };
      },
    },
  ],
};

const softwareRollback: AttackClass = {
  name: "rollback of software",
  variants: [
    {
      name: "an old signed list under the newest name",
      make: (world, random) => {
        const { bundle, moment } = gone(world, random);
        const from = base(world, random, upTo(newest(world), random) - 1);
        const name = fileOf("targets", world.present.versions.targets);
        const mine = new Map([[name, documentOf(moment, "targets")]]);
        return { ...from, wants: bundle.digest, metadata: served(world.present.files, mine) };
      },
    },
    {
      name: "an old signed list with the newest version written on it",
      make: (world, random) => {
        const { bundle, moment } = gone(world, random);
        const from = base(world, random, upTo(newest(world), random) - 1);
        const version = world.present.versions.targets;
        const bytes = altered(documentOf(moment, "targets"), (signed) => {
          signed.version = version;
        });
        const mine = new Map([[fileOf("targets", version), bytes]]);
        return { ...from, wants: bundle.digest, metadata: served(world.present.files, mine) };
      },
    },
    {
      name: "the old list signed anew under the newest name",
      make: (world, random) => {
        const { bundle, moment } = gone(world, random);
        const from = base(world, random, upTo(newest(world), random) - 1);
        const version = world.present.versions.targets;
        const bytes = by(world.keys.online.targets)(documentOf(moment, "targets"), lasting(version, from.at));
        const mine = new Map([[fileOf("targets", version), bytes]]);
        return { ...from, stolen: ["targets"], wants: bundle.digest, metadata: served(world.present.files, mine) };
      },
    },
    {
      name: "a new timestamp for an old snapshot under a new name",
      make: (world, random) => {
        const { bundle, moment } = gone(world, random);
        const from = base(world, random);
        const version = world.present.versions.snapshot + 1;
        const bytes = documentOf(moment, "snapshot");
        const edit: Edit = (signed) => {
          signed.meta = { "snapshot.json": metaOf(version, bytes) };
        };
        const made = chain(world.present, from.at, byRole(stolenOf(world, "timestamp")), { from: "timestamp", edit });
        const mine = filesOf({ timestamp: made.timestamp, snapshot: { version, bytes } });
        return { ...from, stolen: ["timestamp"], wants: bundle.digest, metadata: served(moment.files, mine) };
      },
    },
    {
      name: "a new snapshot for an old list under a new name",
      make: (world, random) => {
        const { bundle, moment } = gone(world, random);
        const from = base(world, random);
        const version = world.present.versions.targets + 1;
        const bytes = documentOf(moment, "targets");
        const edit: Edit = (signed) => {
          signed.meta = { "targets.json": metaOf(version, bytes) };
        };
        const sign = byRole(stolenOf(world, "timestamp", "snapshot"));
        const made = chain(world.present, from.at, sign, { from: "snapshot", edit });
        const mine = filesOf({ ...made, targets: { version, bytes } });
        const stolen = ["timestamp", "snapshot"];
        return { ...from, stolen, wants: bundle.digest, metadata: served(world.present.files, mine) };
      },
    },
  ],
};

const mixAndMatch: AttackClass = {
  name: "mix-and-match",
  variants: [
    {
      name: "timestamp, snapshot and list of three moments",
      make: (world, random) => {
        const { bundle, when, moment } = gone(world, random);
        const ofSnapshot = pick(world.moments, random);
        const from = base(world, random, upTo(newest(world), random) - 1);
        const ofTimestamp = from.seen < when ? pick(world.moments.slice(when + 1), random) : world.present;
        const metadata = (file: string): Answer => {
          if (file.endsWith("root.json")) return world.present.files.get(file);
          if (file === "timestamp.json") return documentOf(ofTimestamp, "timestamp");
          return file.endsWith("snapshot.json") ? documentOf(ofSnapshot, "snapshot") : documentOf(moment, "targets");
        };
        return { ...from, wants: bundle.digest, metadata };
      },
    },
    {
      name: "the newest snapshot, signed anew for an older list",
      make: (world, random) => {
        const { bundle, moment } = gone(world, random);
        const from = base(world, random, upTo(newest(world), random) - 1);
        const version = world.present.versions.snapshot;
        const sign = by(world.keys.online.snapshot);
        const bytes = sign(documentOf(moment, "snapshot"), lasting(version, from.at, namesTargetsOf(moment)));
        const mine = new Map([[fileOf("snapshot", version), bytes]]);
        return {
          ...from,
          stolen: ["snapshot"],
          wants: bundle.digest,
          metadata: served(moment.files, mine, timestampOf(world.present)),
        };
      },
    },
    {
      name: "a timestamp without hashes for a snapshot of another moment",
      make: (world, random) => {
        const { bundle, moment } = gone(world, random);
        const from = base(world, random);
        const version = world.present.versions.snapshot + upTo(2, random);
        const edit: Edit = (signed) => {
          signed.meta = { "snapshot.json": { version } };
        };
        const made = chain(world.present, from.at, byRole(stolenOf(world, "timestamp")), { from: "timestamp", edit });
        const snapshot = { version, bytes: documentOf(moment, "snapshot") };
        const metadata = served(moment.files, filesOf({ timestamp: made.timestamp, snapshot }));
        // A device that holds the newest set has no need of the snapshot that does not fit.
        const seen = upTo(newest(world), random) - 1;
        return { ...from, seen, stolen: ["timestamp"], wants: bundle.digest, metadata };
      },
    },
    {
      name: "a list of its own below the newest snapshot",
      make: (world, random) => {
        const from = base(world, random, upTo(newest(world), random) - 1);
        const { present, evil, keys } = world;
        const version = present.versions.targets;
        const bytes = by(keys.online.targets)(documentOf(present, "targets"), lasting(version, from.at, listing(evil)));
        const mine = new Map([[fileOf("targets", version), bytes]]);
        return { ...from, stolen: ["targets"], wants: evil.digest, metadata: served(present.files, mine) };
      },
    },
  ],
};
const timestampOf = (moment: Moment): Files => new Map([["timestamp.json", documentOf(moment, "timestamp")]]);

/** What differs from model to model. */
const OWN_FILES = ["model.onnx", "calibration.json"] as const;
const digestIn = (bundle: Bundle, path: string): Digest => sha256(bundle.files.get(path) as Uint8Array);
const refreshedBy = (world: World, at: Instant, ...stolen: readonly OnlineRole[]) =>
  served(
    world.present.files,
    filesOf(chain(world.present, at, byRole(stolenOf(world, ...stolen)), { from: "timestamp" })),
  );
const stranger = (world: World, not: Bundle, random: Random): Bundle =>
  pick(
    [...world.bundles.values()].filter(({ digest }) => digest !== not.digest),
    random,
  );

const mixed = (
  name: string,
  stolen: readonly string[],
  metadataOf?: (world: World, at: Instant) => Attack["metadata"],
): Variant => ({
  name,
  make: (world, random) => {
    const from = base(world, random);
    const bundle = good(world, random);
    const path = pick(OWN_FILES, random);
    const wrong = stranger(world, bundle, random).files.get(path);
    const hit = digestIn(bundle, path);
    const blob = (digest: Digest) => (digest === hit ? wrong : from.blob(digest));
    const metadata = metadataOf?.(world, from.at) ?? from.metadata;
    return { ...from, stolen, wants: bundle.digest, metadata, blob };
  },
});

/** A manifest that the attacker wrote, listed by an attacker who holds the targets' key alone. */
const listedByThief = (
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

const rewritten = (
  bundle: Bundle,
  edit: (manifest: { files: Record<string, JsonObject>; metrics: JsonObject }) => void,
): Uint8Array => {
  const manifest = JSON.parse(new TextDecoder().decode(bundle.manifest));
  edit(manifest);
  return new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`);
};

const mixedBundles: AttackClass = {
  name: "mixed and partial bundles",
  variants: [
    mixed("a file of another model", []),
    mixed("a file of another model, below a fresh timestamp", ["timestamp"], (world, at) =>
      refreshedBy(world, at, "timestamp"),
    ),
    {
      name: "a file withheld",
      make: (world, random) => {
        const from = base(world, random);
        const bundle = good(world, random);
        const hit = sha256(pick([...bundle.files.values()], random));
        return { ...from, wants: bundle.digest, blob: (digest) => (digest === hit ? undefined : from.blob(digest)) };
      },
    },
    {
      name: "another model's manifest",
      make: (world, random) => {
        const from = base(world, random);
        const bundle = good(world, random);
        const { manifest } = stranger(world, bundle, random);
        return {
          ...from,
          wants: bundle.digest,
          blob: (digest) => (digest === bundle.digest ? manifest : from.blob(digest)),
        };
      },
    },
    listedByThief("a manifest of two models' files", (world, random) => {
      const bundle = good(world, random);
      const wrong = stranger(world, bundle, random);
      const manifest = rewritten(bundle, ({ files }) => {
        const path = pick(OWN_FILES, random);
        const bytes = wrong.files.get(path) as Uint8Array;
        files[path] = { sha256: sha256(bytes), bytes: bytes.length };
      });
      return { manifest, blobs: new Map() };
    }),
  ],
};

const forward = (name: string, stolen: readonly OnlineRole[], from: OnlineRole, sign?: Sign): Variant => ({
  name,
  make: (world, random) => {
    const start = base(world, random);
    const signEach = sign ? each(sign) : byRole(stolenOf(world, ...stolen));
    const made = chain(world.present, start.at, signEach, { from, bump: FAR_VERSION + upTo(1e6, random) });
    const metadata = served(world.present.files, filesOf(made));
    return { ...start, stolen, wants: good(world, random).digest, metadata, entombs: true };
  },
});

const fastForward: AttackClass = {
  name: "fast-forward",
  variants: [
    forward("far versions under the honest signatures", [], "targets", kept),
    forward("far versions by the attacker's own keys", [], "targets"),
    forward("a far timestamp", ["timestamp"], "timestamp"),
    forward("far timestamp and snapshot", ["timestamp", "snapshot"], "snapshot"),
    forward("everything far", ["timestamp", "snapshot", "targets"], "targets"),
    {
      name: "a far timestamp for a far snapshot that there is not",
      make: (world, random) => {
        const start = base(world, random);
        const bump = FAR_VERSION;
        const edit: Edit = (signed) => {
          signed.meta = { "snapshot.json": { version: FAR_VERSION } };
        };
        const sign = byRole(stolenOf(world, "timestamp"));
        const made = chain(world.present, start.at, sign, { from: "timestamp", bump, edit });
        const mine = filesOf({ timestamp: made.timestamp });
        const metadata = served(world.present.files, mine);
        return {
          ...start,
          seen: -1,
          stolen: ["timestamp"],
          wants: good(world, random).digest,
          metadata,
          entombs: true,
        };
      },
    },
  ],
};

const wrongListing = (
  name: string,
  stolen: readonly OnlineRole[],
  sign: (world: World) => SignEach,
  underNewest = false,
): Variant => ({
  name,
  make: (world, random) => {
    const from = base(world, random, underNewest ? upTo(newest(world), random) - 1 : undefined);
    const { present } = world;
    const bundle = other(world);
    const edit = listing(bundle, HARDWARE);
    const made = chain(present, from.at, sign(world), { edit });
    const targets = { version: present.versions.targets, bytes: made.targets.bytes };
    const metadata = served(present.files, filesOf(underNewest ? { targets } : made));
    return { ...from, stolen, wants: bundle.digest, metadata };
  },
});

const wrongHardware: AttackClass = {
  name: "wrong hardware",
  variants: [
    {
      name: "told to run a listed model of other hardware",
      make: (world, random) => ({ ...base(world, random), wants: other(world).digest }),
    },
    {
      name: "told so, below a fresh timestamp",
      make: (world, random) => {
        const from = base(world, random);
        const metadata = refreshedBy(world, from.at, "timestamp");
        return { ...from, stolen: ["timestamp"], wants: other(world).digest, metadata };
      },
    },
    wrongListing("its class rewritten under the honest signatures", [], () => each(kept)),
    wrongListing("its class rewritten by own keys", [], (world) => byRole(world.foreign.online)),
    wrongListing(
      "its class rewritten in the newest list",
      ["targets"],
      (world) => byRole(stolenOf(world, "targets")),
      true,
    ),
    wrongListing("listed for this hardware by every online key", ["targets", "snapshot", "timestamp"], ({ keys }) =>
      byRole(keys.online),
    ),
  ],
};

/** A device that knows the model as listed, and is not to hear that it is not any more. */
const withheldUnless = (
  name: string,
  stolen: readonly OnlineRole[],
  answerOf: (world: World, at: Instant) => (file: string) => Answer,
): Variant => ({
  name,
  make: (world, random) => {
    const { bundle, when } = gone(world, random);
    const from = base(world, random, when);
    return { ...from, stolen, wants: bundle.digest, metadata: answerOf(world, from.at) };
  },
});

const withheld: AttackClass = {
  name: "withheld",
  variants: [
    withheldUnless("nothing is served", [], () => () => undefined),
    withheldUnless("every connection breaks", [], () => () => ({ error: "connection reset" })),
    ...(["timestamp", "snapshot", "targets"] as const).map((role) =>
      withheldUnless(
        `${role} withheld`,
        [],
        (world) => (file) => (file.endsWith(`${role}.json`) ? undefined : world.present.files.get(file)),
      ),
    ),
    withheldUnless("a signed timestamp for a snapshot that there is not", ["timestamp"], (world, at) => {
      const edit: Edit = (signed) => {
        signed.meta = { "snapshot.json": { version: world.present.versions.snapshot + 1 } };
      };
      const made = chain(world.present, at, byRole(stolenOf(world, "timestamp")), { from: "timestamp", edit });
      return served(world.present.files, filesOf({ timestamp: made.timestamp }));
    }),
    withheldUnless("a signed snapshot for a list that there is not", ["timestamp", "snapshot"], (world, at) => {
      const edit: Edit = (signed) => {
        signed.meta = { "targets.json": { version: world.present.versions.targets + 1 } };
      };
      const made = chain(world.present, at, byRole(stolenOf(world, "timestamp", "snapshot")), {
        from: "snapshot",
        edit,
      });
      return served(world.present.files, filesOf(made));
    }),
  ],
};

/** In ten hours at best. */
function trickled(bytes: Uint8Array, random: Random): Answer {
  const bytesEach = 1 + upTo(8, random);
  const chunks = Math.ceil(bytes.length / bytesEach);
  return {
    slow: bytes,
    bytesEach,
    msEach: Math.min(SLOW_MS_EACH_MAX, Math.ceil((10 * HOUR_MS * (1 + random())) / chunks)),
  };
}

const slowFile = (name: string, role: OnlineRole, stolen: readonly OnlineRole[]): Variant => ({
  name,
  make: (world, random) => {
    const from = base(world, random, upTo(newest(world), random) - 1);
    const made = chain(world.present, from.at, byRole(stolenOf(world, ...stolen)), {
      from: role,
      edit: undefined,
    });
    const files = stolen.length > 0 ? filesOf(made) : new Map<string, Uint8Array>();
    const all = served(world.present.files, files);
    const metadata = (file: string) => {
      const answer = all(file);
      return file.endsWith(`${role}.json`) && answer instanceof Uint8Array ? trickled(answer, random) : answer;
    };
    return { ...from, stolen, wants: good(world, random).digest, metadata };
  },
});

const slow: AttackClass = {
  name: "slow retrieval",
  variants: [
    slowFile("timestamp, byte by byte", "timestamp", []),
    slowFile("snapshot, byte by byte", "snapshot", []),
    slowFile("targets, byte by byte", "targets", []),
    slowFile("a fresh signed timestamp, byte by byte", "timestamp", ["timestamp"]),
    slowFile("a fresh signed snapshot, byte by byte", "snapshot", ["timestamp", "snapshot"]),
    {
      name: "a root that never comes to its end",
      make: (world, random) => {
        const from = base(world, random);
        const root = world.present.files.get("1.root.json") as Uint8Array;
        const metadata = (file: string) => (file === "2.root.json" ? trickled(root, random) : from.metadata(file));
        return { ...from, wants: good(world, random).digest, metadata };
      },
    },
  ],
};

const harmed = (
  name: string,
  harm: (files: Map<string, Uint8Array>, random: Random, world: World) => void,
  stolen: readonly OnlineRole[] = [],
): Variant => ({
  name,
  make: (world, random) => {
    const from = base(world, random);
    const metadata = stolen.length > 0 ? refreshedBy(world, from.at, ...stolen) : from.metadata;
    const meddle = (files: Map<string, Uint8Array>) => harm(files, random, world);
    return { ...from, stolen, wants: good(world, random).digest, metadata, meddle };
  },
});
/** Any file but the manifest. */
const anyFile = (files: Map<string, Uint8Array>, random: Random): string =>
  pick(
    [...files.keys()].filter((path) => path !== "manifest.json"),
    random,
  );
const replace = (files: Map<string, Uint8Array>, path: string, change: (bytes: Uint8Array) => Uint8Array): void =>
  void files.set(path, change(Uint8Array.from(files.get(path) as Uint8Array)));
const flipped = (bytes: Uint8Array, random: Random): Uint8Array => {
  const at = upTo(bytes.length, random);
  bytes[at] = (bytes[at] as number) ^ (1 << upTo(8, random));
  return bytes;
};
const flip = (files: Map<string, Uint8Array>, random: Random): void =>
  replace(files, anyFile(files, random), (bytes) => flipped(bytes, random));

const tampered: AttackClass = {
  name: "tampered package",
  variants: [
    harmed("a flipped bit", flip),
    harmed("a flipped bit, below a fresh timestamp", flip, ["timestamp"]),
    harmed("a flipped bit in the manifest", (files, random) =>
      replace(files, "manifest.json", (b) => flipped(b, random)),
    ),
    harmed("a file cut short", (files, random) =>
      replace(files, anyFile(files, random), (bytes) => bytes.subarray(0, upTo(bytes.length, random))),
    ),
    harmed("a file made longer", (files, random) =>
      replace(files, anyFile(files, random), (bytes) => padded(bytes, 1 + upTo(64, random))),
    ),
    harmed("two files swapped", (files) => {
      const [a, b] = ["model.onnx", "labels.json"].map((path) => files.get(path) as Uint8Array) as [
        Uint8Array,
        Uint8Array,
      ];
      files.set("model.onnx", b).set("labels.json", a);
    }),
    harmed("a file more", (files, random) => void files.set(`extra-${upTo(1e6, random)}.bin`, new Uint8Array(9))),
    harmed("a file less", (files, random) => void files.delete(anyFile(files, random))),
    harmed("a file more, and the manifest rewritten to list it", (files, random) => {
      const bytes = Uint8Array.from({ length: 16 }, () => upTo(256, random));
      const manifest = JSON.parse(new TextDecoder().decode(files.get("manifest.json")));
      manifest.files["extra.bin"] = { sha256: sha256(bytes), bytes: bytes.length };
      files.set("extra.bin", bytes).set("manifest.json", new TextEncoder().encode(JSON.stringify(manifest)));
    }),
    listedByThief("another model file, listed with the targets' key alone", (world, random) => {
      const bundle = good(world, random);
      const bytes = flipped(Uint8Array.from(bundle.files.get("model.onnx") as Uint8Array), random);
      const manifest = rewritten(bundle, ({ files }) => {
        files["model.onnx"] = { sha256: sha256(bytes), bytes: bytes.length };
      });
      return { manifest, blobs: new Map([[sha256(bytes), bytes]]) };
    }),
  ],
};

/** A device made later than the history: its root says that it is at least so late, whatever its clock says. */
const lateRoot = (
  name: string,
  stolen: readonly OnlineRole[],
  clockOf: (moment: Moment) => Instant | null,
  isRewritten = false,
): Variant => ({
  name,
  make: (world, random) => {
    const { bundle, moment } = gone(world, random);
    const from = base(world, random, -1);
    const at = world.present.at + LATER_MS + upTo(DAY_MS, random);
    const sign = isRewritten ? each(kept) : byRole(stolenOf(world, ...stolen));
    const made = chain(moment, moment.at, sign, { from: "timestamp" });
    const isReplay = stolen.length === 0 && !isRewritten;
    const metadata = served(moment.files, isReplay ? new Map() : filesOf({ timestamp: made.timestamp }));
    return { ...from, at, clock: clockOf(moment), laterRoot: true, stolen, wants: bundle.digest, metadata };
  },
});
const oddTimestamp = (name: string, edit: (at: Instant, random: Random) => Edit): Variant => ({
  name,
  make: (world, random) => {
    const { bundle, moment } = gone(world, random);
    const from = base(world, random, -1);
    const sign = by(world.keys.online.timestamp);
    const change = edit(from.at, random);
    const bytes = sign(documentOf(moment, "timestamp"), (signed) => {
      lasting(moment.versions.timestamp + 50, from.at)(signed);
      change(signed);
    });
    const metadata = served(moment.files, new Map([["timestamp.json", bytes]]));
    return { ...from, stolen: ["timestamp"], wants: bundle.digest, metadata };
  },
});

const time: AttackClass = {
  name: "time",
  variants: [
    lateRoot("an expired set for a device that does not know the time", [], () => null),
    lateRoot("an expired set for a clock set back", [], (moment) => moment.at + HOUR_MS),
    lateRoot("an expired set with its expiry written anew, clock unknown", [], () => null, true),
    lateRoot("fresh timestamps for an expired snapshot, clock unknown", ["timestamp"], () => null),
    lateRoot("fresh timestamps for an expired snapshot, clock set back", ["timestamp"], () => 0),
    oddTimestamp("signed in the far future", (at, random) => (signed) => {
      signed["x-signed-at"] = timeText(at + (2 + upTo(70, random)) * DAY_MS);
    }),
    oddTimestamp("expires: never", () => (signed) => {
      signed.expires = "never";
    }),
    oddTimestamp("no expiry", () => (signed) => {
      delete signed.expires;
    }),
  ],
};

const allOnline = ["targets", "snapshot", "timestamp"] as const;
const afterRotation: AttackClass = {
  name: "stolen keys, after the next root",
  variants: [
    {
      permitted: true,
      ...spoof("every online key lists the attacker's model", allOnline, ({ keys }) => byRole(keys.online)),
    },
    {
      permitted: true,
      name: "every online key lists a delisted model again",
      make: (world, random) => {
        const { bundle } = gone(world, random);
        const from = base(world, random);
        const made = chain(world.present, from.at, byRole(world.keys.online), { edit: listing(bundle) });
        return {
          ...from,
          stolen: allOnline,
          wants: bundle.digest,
          metadata: served(world.present.files, filesOf(made)),
        };
      },
    },
    {
      permitted: true,
      name: "the timestamp's key freezes devices while the snapshot lasts",
      make: (world, random) => {
        const { bundle, when, moment } = gone(world, random);
        const at = Math.max(world.present.at, moment.at + (1 + 5 * random()) * DAY_MS);
        const made = chain(moment, at, byRole(stolenOf(world, "timestamp")), { from: "timestamp" });
        const metadata = served(moment.files, filesOf({ timestamp: made.timestamp }));
        return {
          ...base(world, random, sawOrNew(when, random)),
          at,
          stolen: ["timestamp"],
          wants: bundle.digest,
          metadata,
        };
      },
    },
    {
      permitted: true,
      name: "timestamp's and snapshot's keys freeze devices while the list lasts",
      make: (world, random) => {
        const { bundle, when, moment } = gone(world, random);
        const at = moment.at + (2 + 80 * random()) * DAY_MS;
        const sign = byRole(stolenOf(world, "timestamp", "snapshot"));
        const made = chain(moment, at, sign, { from: "snapshot" });
        const metadata = served(moment.files, filesOf(made));
        const stolen = ["timestamp", "snapshot"];
        return { ...base(world, random, sawOrNew(when, random)), at, stolen, wants: bundle.digest, metadata };
      },
    },
  ],
};

export const attackClasses: readonly AttackClass[] = [
  spoofed,
  endless,
  freeze,
  rollback,
  softwareRollback,
  mixAndMatch,
  mixedBundles,
  fastForward,
  wrongHardware,
  withheld,
  slow,
  tampered,
  time,
  afterRotation,
];
