import type { Random } from "@tributary/kernel";
import type { OnlineRole } from "@tributary/tuf/repository";
import { type Answer, SLOW_MS_EACH_MAX } from "../device.ts";
import { HOUR_MS, upTo } from "../world.ts";
import {
  type AttackClass,
  base,
  byRole,
  chain,
  filesOf,
  good,
  newest,
  served,
  stolenOf,
  type Variant,
} from "./vocabulary.ts";

/** In ten hours at best. */
function trickled(bytes: Uint8Array, random: Random): Answer {
  const bytesEach = 1 + upTo(8, random);
  const chunks = Math.ceil(bytes.length / bytesEach);
  return {
    slow: bytes,
    bytesEach,
    msEach: Math.min(SLOW_MS_EACH_MAX, Math.ceil((10 * HOUR_MS * (1 + random())) / chunks)),
  };
}

const slowFile = (name: string, role: OnlineRole, stolen: readonly OnlineRole[]): Variant => ({
  name,
  make: (world, random) => {
    const from = base(world, random, upTo(newest(world), random) - 1);
    const made = chain(world.present, from.at, byRole(stolenOf(world, ...stolen)), {
      from: role,
      edit: undefined,
    });
    const files = stolen.length > 0 ? filesOf(made) : new Map<string, Uint8Array>();
    const all = served(world.present.files, files);
    const metadata = (file: string) => {
      const answer = all(file);
      return file.endsWith(`${role}.json`) && answer instanceof Uint8Array ? trickled(answer, random) : answer;
    };
    return { ...from, stolen, wants: good(world, random).digest, metadata };
  },
});

export const slowRetrieval: AttackClass = {
  name: "slow retrieval",
  variants: [
    slowFile("timestamp, byte by byte", "timestamp", []),
    slowFile("snapshot, byte by byte", "snapshot", []),
    slowFile("targets, byte by byte", "targets", []),
    slowFile("a fresh signed timestamp, byte by byte", "timestamp", ["timestamp"]),
    slowFile("a fresh signed snapshot, byte by byte", "snapshot", ["timestamp", "snapshot"]),
    {
      name: "a root that never ends",
      make: (world, random) => {
        const from = base(world, random);
        const root = world.present.files.get("1.root.json") as Uint8Array;
        const metadata = (file: string) => (file === "2.root.json" ? trickled(root, random) : from.metadata(file));
        return { ...from, wants: good(world, random).digest, metadata };
      },
    },
  ],
};
