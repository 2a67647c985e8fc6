/** Profiles with the edges of their bins, which the package's reference sketch has, as JSON lines. */
import type { DriftProfile } from "@tributary/api";
import { packageFiles } from "@tributary/inference";
import { z } from "zod";
import type { ModelRegistry } from "../gateway.ts";
import { fetchBlob, manifestOf } from "../models/fetched.ts";

const sketchSchema = z.object({
  histograms: z.array(
    z.object({ feature: z.string(), edges: z.array(z.number()).length(33), counts: z.array(z.number()).length(32) }),
  ),
});
type Histogram = z.output<typeof sketchSchema>["histograms"][number];
export type References = ReadonlyMap<string, Histogram>;

/** Of a package: edges and counts on its validation set, by feature. */
export async function referencesOf(registry: ModelRegistry, modelDigest: string): Promise<References> {
  const { files } = manifestOf(await fetchBlob(registry, modelDigest), modelDigest);
  // A package of a later version has more features in a second file.
  const file = files["reference_sketch_v2.json"] ?? files[packageFiles.referenceSketch];
  if (file === undefined) return new Map();
  const { histograms } = sketchSchema.parse(JSON.parse((await fetchBlob(registry, file.sha256)).toString("utf8")));
  return new Map(histograms.map((histogram) => [histogram.feature, histogram]));
}

/** Bin i is [edges[i], edges[i + 1]); null where no registry was asked, or the package has no such feature. */
export const withEdges = (profile: DriftProfile, references: References | undefined) => {
  const reference = references?.get(profile.feature);
  return { ...profile, edges: reference?.edges ?? null, referenceCounts: reference?.counts ?? null };
};
