/** The validation frames that people pushed for a model, by which its candidates are judged. */
import { type Digest, Failure } from "@tributary/kernel";
import { parseValidationManifest, type ValidationManifest } from "@tributary/model-packaging";
import { documentOf, type ModelRegistry } from "./blobs.ts";

export type ValidationFrames = { readonly digest: Digest; readonly frames: ValidationManifest["frames"] };

/** Rejects with a Failure that names what is in the way. */
export async function validationOf(
  { validation, blobs }: ModelRegistry,
  model: string,
  signal: AbortSignal,
): Promise<ValidationFrames> {
  const { digest } = await validation.describe({ model }, { signal });
  if (digest === null) {
    const what = `the validation frames of ${model} are a folder of the registry's configuration, which nobody else reads or extends`;
    throw new Failure("validation-configured", "ask-a-person", `${what}: tributary validation push ${model} FOLDER`);
  }
  return { digest, frames: parseValidationManifest(await documentOf(blobs, digest, signal)).frames };
}
