/** Who may ask the trainer what, by path: trainings are open, datasets and what they are made of are pictures of people. */
import { changesSomething, type DoorPolicy } from "@tributary/service-kit";
import type { TrainerConfig } from "./config.ts";

/** Bound of a JSON body; photos of base sets are uploaded as bytes. */
const BODY_BYTES_MAX = 100 * 1024;
/** What it does not name wants a token, so a path in another spelling does, too. */
const OPEN = /^\/(health\/|metrics$|runs(\/|$))/;
const DATASETS = /^\/(datasets|blobs)(\/|$)/i;

export const doorOf = ({ auth }: Pick<TrainerConfig, "auth">): DoorPolicy => ({
  tokens: auth.tokens,
  wantsToken: (method, path) => changesSomething(method) || !OPEN.test(path),
  readsPictures: (method, path) => !changesSomething(method) && DATASETS.test(path),
  bodyBytesMax: BODY_BYTES_MAX,
  bringsFile: (method, path) => method === "PUT" && path.startsWith("/blobs/"),
});
