import { DAY_MS } from "../world.ts";
import {
  type AttackClass,
  base,
  byRole,
  chain,
  delisted,
  each,
  filesOf,
  kept,
  sawOrNew,
  served,
  stolenOf,
} from "./vocabulary.ts";

export const freeze: AttackClass = {
  name: "freeze",
  variants: [
    {
      name: "an expired set, replayed",
      make: (world, random) => {
        const { bundle, when, moment } = delisted(world, random);
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
      name: "an expired set with its expiry rewritten",
      make: (world, random) => {
        const { bundle, when, moment } = delisted(world, random);
        const at = moment.at + (1 + 250 * random()) * DAY_MS;
        const made = chain(moment, at, each(kept));
        const metadata = served(moment.files, filesOf(made));
        return { ...base(world, random, sawOrNew(when, random)), at, wants: bundle.digest, metadata };
      },
    },
    {
      name: "fresh timestamps for a snapshot that has expired",
      make: (world, random) => {
        const { bundle, when, moment } = delisted(world, random);
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
        const { bundle, when, moment } = delisted(world, random);
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
        const { bundle, when, moment } = delisted(world, random);
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
