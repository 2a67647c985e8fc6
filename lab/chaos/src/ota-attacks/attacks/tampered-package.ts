import type { Random } from "@tributary/kernel";
import type { OnlineRole } from "@tributary/tuf/repository";
import { pick, sha256, upTo, type World } from "../world.ts";
import {
  type AttackClass,
  base,
  good,
  listedByThief,
  padded,
  refreshedBy,
  rewritten,
  type Variant,
} from "./vocabulary.ts";

const harmed = (
  name: string,
  harm: (files: Map<string, Uint8Array>, random: Random, world: World) => void,
  stolen: readonly OnlineRole[] = [],
): Variant => ({
  name,
  make: (world, random) => {
    const from = base(world, random);
    const metadata = stolen.length > 0 ? refreshedBy(world, from.at, ...stolen) : from.metadata;
    const tamper = (files: Map<string, Uint8Array>) => harm(files, random, world);
    return { ...from, stolen, wants: good(world, random).digest, metadata, tamper };
  },
});
/** Any file but the manifest. */
const anyFile = (files: Map<string, Uint8Array>, random: Random): string =>
  pick(
    [...files.keys()].filter((path) => path !== "manifest.json"),
    random,
  );
const replace = (files: Map<string, Uint8Array>, path: string, change: (bytes: Uint8Array) => Uint8Array): void =>
  void files.set(path, change(Uint8Array.from(files.get(path) as Uint8Array)));
const flipped = (bytes: Uint8Array, random: Random): Uint8Array => {
  const at = upTo(bytes.length, random);
  bytes[at] = (bytes[at] as number) ^ (1 << upTo(8, random));
  return bytes;
};
const flip = (files: Map<string, Uint8Array>, random: Random): void =>
  replace(files, anyFile(files, random), (bytes) => flipped(bytes, random));

export const tamperedPackage: AttackClass = {
  name: "tampered package",
  variants: [
    harmed("a flipped bit", flip),
    harmed("a flipped bit, below a fresh timestamp", flip, ["timestamp"]),
    harmed("a flipped bit in the manifest", (files, random) =>
      replace(files, "manifest.json", (b) => flipped(b, random)),
    ),
    harmed("a file cut short", (files, random) =>
      replace(files, anyFile(files, random), (bytes) => bytes.subarray(0, upTo(bytes.length, random))),
    ),
    harmed("a file made longer", (files, random) =>
      replace(files, anyFile(files, random), (bytes) => padded(bytes, 1 + upTo(64, random))),
    ),
    harmed("two files swapped", (files) => {
      const [a, b] = ["model.onnx", "labels.json"].map((path) => files.get(path) as Uint8Array) as [
        Uint8Array,
        Uint8Array,
      ];
      files.set("model.onnx", b).set("labels.json", a);
    }),
    harmed("a file more", (files, random) => void files.set(`extra-${upTo(1e6, random)}.bin`, new Uint8Array(9))),
    harmed("a file less", (files, random) => void files.delete(anyFile(files, random))),
    harmed("a file more, and the manifest rewritten to list it", (files, random) => {
      const bytes = Uint8Array.from({ length: 16 }, () => upTo(256, random));
      const manifest = JSON.parse(new TextDecoder().decode(files.get("manifest.json")));
      manifest.files["extra.bin"] = { sha256: sha256(bytes), bytes: bytes.length };
      files.set("extra.bin", bytes).set("manifest.json", new TextEncoder().encode(JSON.stringify(manifest)));
    }),
    listedByThief("another model file, listed with the targets' key alone", (world, random) => {
      const bundle = good(world, random);
      const bytes = flipped(Uint8Array.from(bundle.files.get("model.onnx") as Uint8Array), random);
      const manifest = rewritten(bundle, ({ files }) => {
        files["model.onnx"] = { sha256: sha256(bytes), bytes: bytes.length };
      });
      return { manifest, blobs: new Map([[sha256(bytes), bytes]]) };
    }),
  ],
};
