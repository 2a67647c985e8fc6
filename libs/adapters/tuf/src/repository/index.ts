/** The repository's side of TUF: keys, roots, listing. Devices import `@tributary/tuf` alone. */
export { fileOf, metadataBytesMax } from "../metadata.ts";
export { type ListedModel, listedPartOf } from "../target.ts";
export * from "./keys.ts";
export * from "./metadata-store.ts";
export * from "./repository.ts";
export * from "./root.ts";
export * from "./sign.ts";
