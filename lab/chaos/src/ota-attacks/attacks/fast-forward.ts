import type { OnlineRole } from "@tributary/tuf/repository";
import { FAR_VERSION } from "../device.ts";
import type { Edit } from "../forge.ts";
import { upTo } from "../world.ts";
import {
  type AttackClass,
  base,
  byRole,
  chain,
  each,
  filesOf,
  good,
  kept,
  type Sign,
  served,
  stolenOf,
  type Variant,
} from "./vocabulary.ts";

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

export const fastForward: AttackClass = {
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
