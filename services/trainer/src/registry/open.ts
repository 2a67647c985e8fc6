/** The model registry, as the trainer asks it: who refuses its token is named with the setting that has it. */
import { clientOf, modelRegistryApi } from "@tributary/api";
import { Failure } from "@tributary/kernel";
import type { ModelRegistry } from "./blobs.ts";

type Access = { readonly url: string; readonly token?: string | undefined; readonly timeoutMs: number };

export const openModelRegistry = (access: Access): ModelRegistry =>
  clientOf(modelRegistryApi, {
    ...access,
    errorOf: (failure) => {
      if (failure.status !== 401 && failure.status !== 403) return failure;
      const what = `the model registry at ${access.url} refuses the trainer (${failure.code}): set modelRegistry.token to one of its auth.tokens`;
      return new Failure("model-registry-forbidden", "retry", what, { cause: failure });
    },
  });
