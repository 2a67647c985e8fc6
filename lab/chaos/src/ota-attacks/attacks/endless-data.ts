import { roles } from "@tributary/tuf";
import type { Edit } from "../forge.ts";
import { pick, sha256, upTo } from "../world.ts";
import {
  type AttackClass,
  base,
  byRole,
  chain,
  fileOf,
  filesOf,
  good,
  newest,
  padded,
  served,
  stolenOf,
} from "./vocabulary.ts";

const ENDLESS = { endless: true } as const;
const roleOfFile = (file: string) => roles.find((role) => file.endsWith(`${role}.json`));

export const endlessData: AttackClass = {
  name: "endless data",
  variants: [
    {
      name: "any role's file never ends",
      make: (world, random) => {
        const from = base(world, random, upTo(newest(world), random) - 1);
        const role = pick(roles, random);
        const metadata = (file: string) => (roleOfFile(file) === role ? ENDLESS : from.metadata(file));
        return { ...from, wants: good(world, random).digest, metadata };
      },
    },
    {
      name: "a signed file with megabytes of blanks behind it",
      make: (world, random) => {
        const from = base(world, random, upTo(newest(world), random) - 1);
        const role = pick(["timestamp", "snapshot", "targets"] as const, random);
        const bytes = (1 + upTo(3, random)) * (1 << 20);
        const metadata = (file: string) => {
          const answer = from.metadata(file);
          return roleOfFile(file) === role && answer instanceof Uint8Array ? padded(answer, bytes) : answer;
        };
        return { ...from, wants: good(world, random).digest, metadata };
      },
    },
    {
      name: "the manifest never ends",
      make: (world, random) => ({ ...base(world, random), wants: good(world, random).digest, blob: () => ENDLESS }),
    },
    {
      name: "a file of the package never ends",
      make: (world, random) => {
        const from = base(world, random);
        const { digest, files } = good(world, random);
        const hit = sha256(pick([...files.values()], random));
        return { ...from, wants: digest, blob: (asked) => (asked === hit ? ENDLESS : from.blob(asked)) };
      },
    },
    {
      name: "a signed timestamp that promises a terabyte of snapshot",
      make: (world, random) => {
        const from = base(world, random);
        const version = world.present.versions.snapshot + 1;
        const edit: Edit = (signed) => {
          signed.meta = { "snapshot.json": { version, length: 1e12 } };
        };
        const made = chain(world.present, from.at, byRole(stolenOf(world, "timestamp")), { from: "timestamp", edit });
        const mine = served(world.present.files, filesOf(made));
        const metadata = (file: string) => (file === fileOf("snapshot", version) ? ENDLESS : mine(file));
        return { ...from, stolen: ["timestamp"], wants: good(world, random).digest, metadata };
      },
    },
    {
      name: "a signed snapshot that promises a terabyte of targets",
      make: (world, random) => {
        const from = base(world, random);
        const version = world.present.versions.targets + 1;
        const edit: Edit = (signed) => {
          signed.meta = { "targets.json": { version, length: 1e12 } };
        };
        const sign = byRole(stolenOf(world, "timestamp", "snapshot"));
        const made = chain(world.present, from.at, sign, { from: "snapshot", edit });
        const mine = served(world.present.files, filesOf(made));
        const metadata = (file: string) => (file === fileOf("targets", version) ? ENDLESS : mine(file));
        return { ...from, stolen: ["timestamp", "snapshot"], wants: good(world, random).digest, metadata };
      },
    },
  ],
};
