/** Who may ask the archive what: everything in it is a picture or a list of them. */
import type { DoorPolicy } from "@tributary/service-kit";
import type { FrameArchiveConfig } from "./config.ts";

/** Probes and scrapers have no token. */
const OPEN = /^\/(health\/|metrics$)/;
const wantsToken = (_method: string, path: string): boolean => !OPEN.test(path);

export const doorOf = ({ auth }: Pick<FrameArchiveConfig, "auth">): DoorPolicy => ({
  tokens: auth.tokens,
  wantsToken,
  readsPictures: wantsToken,
});
