/**
 * Who may ask the registry what, by path. Devices and services read packages without a token: metadata, versions, and blobs of
 * packages, which blobs.controller.ts distinguishes from pictures of people's sets. Everything else wants one.
 */
import { changesSomething, type DoorPolicy } from "@tributary/service-kit";
import type { RegistryConfig } from "./config.ts";

/** Bound of a JSON body; a model's files are uploaded as bytes. */
const BODY_BYTES_MAX = 100 * 1024;
/** What it does not name wants a token, so a path in another spelling does, too. */
const OPEN = /^\/(health\/|metrics$|tuf\/|models(\/|$)|blobs\/)/;
const VALIDATION = /^\/validation(\/|$)/i;

export const doorOf = ({ auth }: Pick<RegistryConfig, "auth">): DoorPolicy => ({
  tokens: auth.tokens,
  wantsToken: (method, path) => changesSomething(method) || !OPEN.test(path),
  readsPictures: (method, path) => !changesSomething(method) && VALIDATION.test(path),
  bodyBytesMax: BODY_BYTES_MAX,
  bringsFile: (method, path) => method === "PUT" && path.startsWith("/blobs/"),
});
