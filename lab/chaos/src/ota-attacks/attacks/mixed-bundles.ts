import type { Digest, Instant, Random } from "@tributary/kernel";
import type { Attack } from "../device.ts";
import { type Bundle, pick, sha256, type World } from "../world.ts";
import { type AttackClass, base, good, listedByThief, refreshedBy, rewritten, type Variant } from "./vocabulary.ts";

/** What differs from model to model. */
const OWN_FILES = ["model.onnx", "calibration.json"] as const;
const digestIn = (bundle: Bundle, path: string): Digest => sha256(bundle.files.get(path) as Uint8Array);

const stranger = (world: World, not: Bundle, random: Random): Bundle =>
  pick(
    [...world.bundles.values()].filter(({ digest }) => digest !== not.digest),
    random,
  );

const mixed = (
  name: string,
  stolen: readonly string[],
  metadataOf?: (world: World, at: Instant) => Attack["metadata"],
): Variant => ({
  name,
  make: (world, random) => {
    const from = base(world, random);
    const bundle = good(world, random);
    const path = pick(OWN_FILES, random);
    const wrong = stranger(world, bundle, random).files.get(path);
    const hit = digestIn(bundle, path);
    const blob = (digest: Digest) => (digest === hit ? wrong : from.blob(digest));
    const metadata = metadataOf?.(world, from.at) ?? from.metadata;
    return { ...from, stolen, wants: bundle.digest, metadata, blob };
  },
});

export const mixedBundles: AttackClass = {
  name: "mixed and partial bundles",
  variants: [
    mixed("a file of another model", []),
    mixed("a file of another model, below a fresh timestamp", ["timestamp"], (world, at) =>
      refreshedBy(world, at, "timestamp"),
    ),
    {
      name: "a file withheld",
      make: (world, random) => {
        const from = base(world, random);
        const bundle = good(world, random);
        const hit = sha256(pick([...bundle.files.values()], random));
        return { ...from, wants: bundle.digest, blob: (digest) => (digest === hit ? undefined : from.blob(digest)) };
      },
    },
    {
      name: "another model's manifest",
      make: (world, random) => {
        const from = base(world, random);
        const bundle = good(world, random);
        const { manifest } = stranger(world, bundle, random);
        return {
          ...from,
          wants: bundle.digest,
          blob: (digest) => (digest === bundle.digest ? manifest : from.blob(digest)),
        };
      },
    },
    listedByThief("a manifest of two models' files", (world, random) => {
      const bundle = good(world, random);
      const wrong = stranger(world, bundle, random);
      const manifest = rewritten(bundle, ({ files }) => {
        const path = pick(OWN_FILES, random);
        const bytes = wrong.files.get(path) as Uint8Array;
        files[path] = { sha256: sha256(bytes), bytes: bytes.length };
      });
      return { manifest, blobs: new Map() };
    }),
  ],
};
