import type { Answer } from "../device.ts";
import type { Edit } from "../forge.ts";
import { type Files, type Moment, pick, upTo } from "../world.ts";
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
  listing,
  namesTargetsOf,
  newest,
  served,
  stolenOf,
} from "./vocabulary.ts";

const timestampOf = (moment: Moment): Files => new Map([["timestamp.json", documentOf(moment, "timestamp")]]);

export const mixAndMatch: AttackClass = {
  name: "mix-and-match",
  variants: [
    {
      name: "timestamp, snapshot and list of three moments",
      make: (world, random) => {
        const { bundle, when, moment } = delisted(world, random);
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
      name: "the newest snapshot, signed again for an older list",
      make: (world, random) => {
        const { bundle, moment } = delisted(world, random);
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
        const { bundle, moment } = delisted(world, random);
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
