/** From a champion's success on, candidates are judged on the slice that it learned, too: its GATE frames join the validation set. */
import { createHash } from "node:crypto";
import type { TrainingRun } from "@tributary/contracts";
import { Failure } from "@tributary/kernel";
import { parseValidationManifest, validationLimits } from "@tributary/model-packaging";
import { documentOf, type ModelRegistry, uploadMissing } from "../registry/blobs.ts";
import { validationOf } from "../registry/validation.ts";
import { LINEAGE } from "./packer.ts";

const BY = "trainer";

/** Frames that were added, or that a repeated call finds there. Rejects with a Failure that names what is in the way. */
export async function extendValidation(
  registry: ModelRegistry,
  { runId, model, slice, candidateVersion }: TrainingRun,
  signal: AbortSignal,
): Promise<number> {
  const { lineage } = await registry.models.one({ name: model, version: candidateVersion }, { signal });
  const sliceDigest = lineage[LINEAGE.sliceFrames];
  if (sliceDigest === undefined) return 0;
  const before = await validationOf(registry, model, signal);
  const added = parseValidationManifest(await documentOf(registry.blobs, sliceDigest, signal));
  const known = new Set(before.frames.map(({ sha256 }) => sha256));
  const fresh = added.frames.filter(({ sha256 }) => !known.has(sha256));
  if (fresh.length > 0) {
    const frames = [
      ...before.frames,
      ...fresh.map((frame) => ({ ...frame, file: `${runId}/${frame.sha256}.jpg`, slice })),
    ];
    if (frames.length > validationLimits.framesMax) {
      const what = `${frames.length} validation frames would be more than ${validationLimits.framesMax}`;
      throw new Failure("validation-full", "ask-a-person", `${what}: push a smaller set (tributary validation push)`);
    }
    const bytes = Buffer.from(`${JSON.stringify({ frames })}\n`);
    const manifestDigest = createHash("sha256").update(bytes).digest("hex");
    await uploadMissing(registry.blobs, [{ from: bytes, digest: manifestDigest, bytes: bytes.length }], signal);
    await registry.validation.push({ model, body: { manifestDigest, by: BY } }, { signal });
  }
  return added.frames.length;
}
