import type { Instant } from "@tributary/kernel";
import type { OnlineRole } from "@tributary/tuf/repository";
import type { Answer } from "../device.ts";
import type { Edit } from "../forge.ts";
import type { World } from "../world.ts";
import {
  type AttackClass,
  base,
  byRole,
  chain,
  delisted,
  filesOf,
  served,
  stolenOf,
  type Variant,
} from "./vocabulary.ts";

/** A device that knows the model as listed, and must not learn that it was delisted. */
const withheldUnless = (
  name: string,
  stolen: readonly OnlineRole[],
  answerOf: (world: World, at: Instant) => (file: string) => Answer,
): Variant => ({
  name,
  make: (world, random) => {
    const { bundle, when } = delisted(world, random);
    const from = base(world, random, when);
    return { ...from, stolen, wants: bundle.digest, metadata: answerOf(world, from.at) };
  },
});

export const withheld: AttackClass = {
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
