import type { Clock } from "@tributary/kernel";
import type { CloudBackend } from "../cloud-backend.ts";
import type { KserveConfig } from "./remote-config.ts";

export async function startKserve(
  config: KserveConfig,
  _context: { readonly clock: Clock; readonly callMsMax: number },
): Promise<CloudBackend> {
  throw new Error(`${config.url}: not yet`);
}
