import type { Random } from "@tributary/kernel";
import type { Edit } from "../forge.ts";
import { type Moment, upTo, type World } from "../world.ts";
import {
  type AttackClass,
  base,
  byRole,
  chain,
  delisted,
  documentOf,
  filesOf,
  metaOf,
  namesTargetsOf,
  newest,
  served,
  stolenOf,
} from "./vocabulary.ts";

/** A device that has seen more than the moment it is to be led back to. */
const sawMore = (world: World, when: number, random: Random): number => when + 1 + upTo(newest(world) - when, random);

const namesSnapshotOf =
  (moment: Moment): Edit =>
  (signed) => {
    signed.meta = { "snapshot.json": metaOf(moment.versions.snapshot, documentOf(moment, "snapshot")) };
  };

export const rollbackOfMetadata: AttackClass = {
  name: "rollback of metadata",
  variants: [
    {
      name: "an older set",
      make: (world, random) => {
        const { bundle, when, moment } = delisted(world, random);
        const from = base(world, random, sawMore(world, when, random));
        return { ...from, wants: bundle.digest, metadata: served(moment.files) };
      },
    },
    {
      name: "an older set, and root 1 as root 2",
      make: (world, random) => {
        const { bundle, when, moment } = delisted(world, random);
        const from = base(world, random, sawMore(world, when, random));
        const root = new Map([["2.root.json", moment.files.get("1.root.json") as Uint8Array]]);
        return { ...from, wants: bundle.digest, metadata: served(moment.files, root) };
      },
    },
    {
      name: "a new timestamp for an older snapshot",
      make: (world, random) => {
        const { bundle, when, moment } = delisted(world, random);
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
        const { bundle, moment } = delisted(world, random);
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
        const { bundle, when, moment } = delisted(world, random);
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
