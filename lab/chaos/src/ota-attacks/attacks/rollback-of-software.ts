import { altered, type Edit } from "../forge.ts";
import { upTo } from "../world.ts";
import {
  type AttackClass,
  base,
  by,
  byRole,
  chain,
  delisted,
  documentOf,
  fileOf,
  filesOf,
  lasting,
  metaOf,
  newest,
  served,
  stolenOf,
} from "./vocabulary.ts";

export const rollbackOfSoftware: AttackClass = {
  name: "rollback of software",
  variants: [
    {
      name: "an old signed list under the newest name",
      make: (world, random) => {
        const { bundle, moment } = delisted(world, random);
        const from = base(world, random, upTo(newest(world), random) - 1);
        const name = fileOf("targets", world.present.versions.targets);
        const mine = new Map([[name, documentOf(moment, "targets")]]);
        return { ...from, wants: bundle.digest, metadata: served(world.present.files, mine) };
      },
    },
    {
      name: "an old signed list with the newest version written on it",
      make: (world, random) => {
        const { bundle, moment } = delisted(world, random);
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
      name: "the old list signed again under the newest name",
      make: (world, random) => {
        const { bundle, moment } = delisted(world, random);
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
        const { bundle, moment } = delisted(world, random);
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
        const { bundle, moment } = delisted(world, random);
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
