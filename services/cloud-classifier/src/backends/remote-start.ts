/** Puts a remote backend together: its package, the child that preprocesses, and the connection to its server. */

import { HttpCaller } from "@tributary/calls";
import type { ModelPackage } from "@tributary/inference";
import type { Clock, Random } from "@tributary/kernel";
import { loadPackage, readPackageFile } from "@tributary/model-store";
import { PreprocessHost, type Preprocessor } from "@tributary/onnx";
import { RemoteBackend, type ServerState } from "./remote-backend.ts";
import type { KserveConfig, TfServingConfig } from "./remote-config.ts";
import type { ServingProtocol } from "./serving-protocol.ts";
import { type ChildEvents, Supervised } from "./supervised.ts";

export type RemoteContext = {
  readonly clock: Clock;
  readonly random: Random;
  readonly events: ChildEvents & {
    server(event: { readonly state: ServerState; readonly reason: string }): void;
  };
  /** For tests that cannot wait for what is right in the field. */
  readonly readyMsEvery?: number;
};

export async function startRemote<Facts>(
  config: KserveConfig | TfServingConfig,
  context: RemoteContext,
  protocolOf: (served: { readonly pkg: ModelPackage; readonly shape: readonly number[] }) => ServingProtocol<Facts>,
): Promise<RemoteBackend<Facts>> {
  const { clock, random, events, readyMsEvery } = context;
  const pkg = await loadPackage(config.package);
  const host = new PreprocessHost(loadPackage, readPackageFile);
  const load = () => host.load(config.package, { threads: config.threads });
  const preprocessors: Supervised<Preprocessor> | null =
    config.input === "jpeg" ? null : await Supervised.start({ load, clock, random, events });
  const caller = new HttpCaller({ url: config.url, headers: config.headers });
  try {
    const shape = preprocessors?.current?.shape ?? [];
    return await RemoteBackend.start({
      caller,
      protocol: protocolOf({ pkg, shape }),
      pkg,
      preprocessors,
      clock,
      random,
      onServer: events.server,
      ...(readyMsEvery !== undefined && { readyMsEvery }),
    });
  } catch (error) {
    caller.close();
    await preprocessors?.close();
    throw error;
  }
}
