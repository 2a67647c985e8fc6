import type { OnlineRole } from "@tributary/tuf/repository";
import { HARDWARE, upTo, type World } from "../world.ts";
import {
  type AttackClass,
  base,
  byRole,
  chain,
  each,
  filesOf,
  kept,
  listing,
  newest,
  other,
  refreshedBy,
  type SignEach,
  served,
  stolenOf,
  type Variant,
} from "./vocabulary.ts";

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

export const wrongHardware: AttackClass = {
  name: "wrong hardware",
  variants: [
    {
      name: "a desired state with a listed model of other hardware",
      make: (world, random) => ({ ...base(world, random), wants: other(world).digest }),
    },
    {
      name: "the same, below a fresh timestamp",
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
