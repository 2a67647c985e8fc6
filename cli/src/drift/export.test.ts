import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import type { DriftProfile } from "@tributary/api";
import { repositoryRoot } from "@tributary/testing";
import type { ModelRegistry } from "../gateway.ts";
import { referencesOf, withEdges } from "./export.ts";

const dir = join(repositoryRoot, "models/edge-resnet8");
const manifest = JSON.parse(readFileSync(join(dir, "manifest.json"), "utf8"));

/** A registry that holds the sample model. */
const registry = {
  blobs: {
    async *get({ digest }: { digest: string }) {
      const files = Object.entries<{ sha256: string }>(manifest.files);
      const [path = "manifest.json"] = files.find(([, { sha256 }]) => sha256 === digest) ?? [];
      yield readFileSync(join(dir, path));
    },
  },
} as unknown as ModelRegistry;

test("profiles get the edges of their bins, and the counts of the validation set, from the package", async () => {
  const references = await referencesOf(registry, "ab".repeat(32));
  const profile = { feature: "luminance", counts: new Array(32).fill(1) } as unknown as DriftProfile;
  const { edges, referenceCounts, counts } = withEdges(profile, references);
  expect([edges?.length, edges?.[0], edges?.at(-1), referenceCounts?.length, counts.length]).toEqual([
    33, 0, 1, 32, 32,
  ]);
  expect(withEdges({ ...profile, feature: "label" }, references)).toMatchObject({ edges: null, referenceCounts: null });
  expect(withEdges(profile, undefined)).toMatchObject({ edges: null });
});
