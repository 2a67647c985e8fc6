/** The device's side. The repository's is `@tributary/tuf/repository`. */
export { type TufCode, tufFailure } from "./failures.ts";
export { httpFetcher, type MetadataFetcher } from "./fetcher.ts";
export { fileOf, metadataBytesMax, type Role, roles } from "./metadata.ts";
export * from "./target.ts";
export * from "./trust.ts";
