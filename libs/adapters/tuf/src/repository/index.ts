/** The repository's side of TUF: keys, roots, listing. Devices import `@tributary/tuf` alone. */
export { fileOf } from "../metadata.ts";
export { generateKey, publicKeyOfPem, publicPemOf, readSigner, type Signer, signerOf, writeKey } from "./keys.ts";
export { folderMetadataStore, isMetadataName, type MetadataStore } from "./metadata-store.ts";
export { TufRepository } from "./repository.ts";
export {
  checkRoot,
  initRoot,
  type OnlineRole,
  onlineRoles,
  parseRoot,
  proposeRoot,
  rootDefaults,
  rotateRoot,
  signRoot,
} from "./root.ts";
