/** A target behind TensorFlow Serving. */
import type { CloudBackend } from "../cloud-backend.ts";
import type { TfServingConfig } from "./remote-config.ts";
import { type RemoteContext, startRemote } from "./remote-start.ts";
import { tfServingProtocol } from "./tf-serving-protocol.ts";

export const startTfServing = (
  config: TfServingConfig & { readonly batchMax: number },
  context: RemoteContext,
): Promise<CloudBackend> =>
  startRemote(config, context, ({ pkg, shape }) => {
    const { model, version, versionLabel, signature, output, input, batchMax } = config;
    const labels = pkg.labels.length;
    return tfServingProtocol({ model, version, versionLabel, signature, output, input, batchMax, shape, labels });
  });
