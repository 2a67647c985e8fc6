import type { Clock } from "@tributary/kernel";
import type { CloudBackend } from "../cloud-backend.ts";
import type { TfServingConfig } from "./remote-config.ts";

export async function startTfServing(
  config: TfServingConfig,
  _context: { readonly clock: Clock; readonly callMsMax: number },
): Promise<CloudBackend> {
  throw new Error(`${config.url}: not yet`);
}
