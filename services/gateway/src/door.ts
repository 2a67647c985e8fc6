/** Who may ask the gateway what, by path. */
import { changesSomething, type DoorPolicy } from "@tributary/service-kit";
import type { GatewayConfig } from "./config.ts";
import { refusalOf } from "./registry/errors.ts";

/** The largest batch of labels with a comment each. */
const BODY_BYTES_MAX = 2 * 1024 * 1024;
/** Probes and scrapers carry no token, and the descriptions hold nothing of the fleet; everything else wants one. */
const OPEN = /^\/(health(\/|$)|metrics$|asyncapi(\.yaml)?$)/;
/** Pictures of frames, the lists of them, and the manifests of datasets. */
const PICTURES = /^\/api\/v1\/(frames|archive|datasets|labels)(\/|$)/i;

export const doorOf = ({ auth }: Pick<GatewayConfig, "auth">): DoorPolicy => ({
  tokens: auth.tokens,
  wantsToken: (_method, path) => !OPEN.test(path),
  readsPictures: (method, path) => !changesSomething(method) && PICTURES.test(path),
  bodyBytesMax: BODY_BYTES_MAX,
  refusalOf,
});
