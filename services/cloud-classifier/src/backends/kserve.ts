/** A target behind KServe v2: Triton, KServe's runtimes, MLServer and others. */
import type { CloudBackend } from "../cloud-backend.ts";
import { kserveProtocol } from "./kserve-protocol.ts";
import type { KserveConfig } from "./remote-config.ts";
import { type RemoteContext, startRemote } from "./remote-start.ts";

export const startKserve = (
  config: KserveConfig & { readonly batchMax: number },
  context: RemoteContext,
): Promise<CloudBackend> =>
  startRemote(config, context, ({ pkg, shape }) => {
    const { model, version, input, batchMax, tensors = pkg.manifest.tensors } = config;
    return kserveProtocol({ model, version, input, batchMax, tensors, shape, labels: pkg.labels.length });
  });
