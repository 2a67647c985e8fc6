import type { Signer } from "@tributary/tuf/repository";
import { altered, closed, forged, type JsonObject, opened, signedBy } from "../forge.ts";
import { sha256, type World } from "../world.ts";
import {
  type AttackClass,
  base,
  by,
  byRole,
  chain,
  each,
  filesOf,
  kept,
  listing,
  type Sign,
  served,
  spoof,
  stolenOf,
  type Variant,
} from "./vocabulary.ts";

const under =
  (signer: Signer, id: Signer): Sign =>
  (bytes, edit) =>
    forged(bytes, edit, [signer], [id.publicKey.keyID]);

const unsigned: Sign = by();
const noise: Sign = (bytes, edit) => {
  const envelope = opened(altered(bytes, edit));
  for (const signature of envelope.signatures)
    signature.sig = sha256(new TextEncoder().encode(signature.sig)).repeat(2);
  return closed(envelope);
};

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

export const arbitrarySoftware: AttackClass = {
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
