import type { Instant, Random } from "@tributary/kernel";
import type { OnlineRole } from "@tributary/tuf/repository";
import type { Edit } from "../forge.ts";
import { DAY_MS, HOUR_MS, LATER_MS, type Moment, upTo } from "../world.ts";
import {
  type AttackClass,
  base,
  by,
  byRole,
  chain,
  delisted,
  documentOf,
  each,
  filesOf,
  kept,
  lasting,
  served,
  stolenOf,
  timeText,
  type Variant,
} from "./vocabulary.ts";

/** A device made later than the history: its root gives a lower bound of the time, whatever its clock. */
const lateRoot = (
  name: string,
  stolen: readonly OnlineRole[],
  clockOf: (moment: Moment) => Instant | null,
  isRewritten = false,
): Variant => ({
  name,
  make: (world, random) => {
    const { bundle, moment } = delisted(world, random);
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
    const { bundle, moment } = delisted(world, random);
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

export const time: AttackClass = {
  name: "time",
  variants: [
    lateRoot("an expired set for a device that does not know the time", [], () => null),
    lateRoot("an expired set for a clock set back", [], (moment) => moment.at + HOUR_MS),
    lateRoot("an expired set with its expiry rewritten, clock unknown", [], () => null, true),
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
