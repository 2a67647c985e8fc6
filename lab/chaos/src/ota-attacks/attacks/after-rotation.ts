import { DAY_MS } from "../world.ts";
import {
  type AttackClass,
  base,
  byRole,
  chain,
  delisted,
  filesOf,
  listing,
  sawOrNew,
  served,
  spoof,
  stolenOf,
} from "./vocabulary.ts";

const allOnline = ["targets", "snapshot", "timestamp"] as const;
export const afterRotation: AttackClass = {
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
        const { bundle } = delisted(world, random);
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
        const { bundle, when, moment } = delisted(world, random);
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
        const { bundle, when, moment } = delisted(world, random);
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
